from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.mail.plain import plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("ab  c", "ab c"),
        ("<!-- a comment -->", ""),
        ("<!-- a comment -->   a   ", "a"),
        ("<span>a</span>b<span>c</span>", "abc"),
        ('<a href="a/b/c">test</span>', "[test](a/b/c)"),
        ('<a href="">test</a>', "[test]"),
        ("<a>test</a> b", "[test] b"),
        ('<a href="x"></a>', "[LINK](x)"),
        ('<a href="x">one<a href="y">two</a>', "[one](x)[two](y)"),
        ('<a href="x?a=1&amp;b=2">a &lt; <b>b</b></a>.', "[a < b](x?a=1&b=2)."),
        ("<span>a</span>  <span>b</span>", "a b"),
        ("<span>a</span>   b   <div>c</div>", "a b \r\nc"),
        ("<p>a</p><p>b</p>", "a\r\nb"),
        ("a<br/><br>b", "a\r\n\r\nb"),
        ("<ul><li>a</li>\n<li>b</li></ul>", "- a \r\n- b"),
        ("<style>p { x: y }</style><script>alert()</script>a<img src=x>b<input>c", "abc"),
        ("<form>in <b>a</b> form</form>out", "out"),
        ("</style></form>a", "a"),
        ("&#228;&auml;", "ää"),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert plain_text(html) == text


@given(st.text(alphabet="<>/&;!-=\"' abpstyle", max_size=60))
def test_nothing_breaks_it(html: str) -> None:
    plain_text(html)

"""SQLite's `strftime` as a function of PostgreSQL (sqlite.org/lang_datefunc.html).

Times are UTC; "localtime" and "utc" change nothing, as on a server whose zone is UTC.
"""

from __future__ import annotations

_NUMBER = r"[+-]?[0-9]+(\.[0-9]+)?"

_MOMENT = r"""CREATE OR REPLACE FUNCTION rowcast.moment(given text) RETURNS timestamp LANGUAGE plpgsql STABLE AS $f$
DECLARE m text[]; day date; found timestamp; shift text;
BEGIN
  IF lower(given) = 'now' THEN RETURN date_trunc('milliseconds', statement_timestamp() AT TIME ZONE 'UTC'); END IF;
  m := regexp_match(given, '^(?:(\d{4})-(\d\d)-(\d\d))?'
    '(?:[ T]*(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?\s*(Z|z|[+-]\d\d:\d\d)?)?\s*$');
  IF m IS NULL OR (m[1] IS NULL AND m[4] IS NULL) THEN
    IF given ~ '^[+-]?[0-9]+(\.[0-9]+)?$' AND given::double precision BETWEEN 0 AND 5373484.5 THEN
      RETURN timestamp '2000-01-01 12:00' + (given::double precision - 2451545) * interval '1 day';
    END IF;
    RETURN NULL;
  END IF;
  IF m[2]::int NOT BETWEEN 1 AND 12 OR m[3]::int NOT BETWEEN 1 AND 31 OR m[1] = '0000' THEN RETURN NULL; END IF;
  day := COALESCE(make_date(m[1]::int, m[2]::int, 1) + (m[3]::int - 1), date '2000-01-01');
  IF m[4]::int > 24 OR m[5]::int > 59 OR m[6]::int > 59 THEN RETURN NULL; END IF;
  found := day + COALESCE(m[4]::int, 0) * interval '1 hour' + COALESCE(m[5]::int, 0) * interval '1 minute'
    + (COALESCE(m[6], '0') || COALESCE(m[7], ''))::numeric::double precision * interval '1 second';
  shift := m[8];
  IF shift ~ '^[+-]' THEN
    found := found - (left(shift, 1) || '1')::int
      * (substr(shift, 2, 2)::int * interval '1 hour' + substr(shift, 5, 2)::int * interval '1 minute');
  END IF;
  RETURN found;
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $f$"""

_MONTHS = """CREATE OR REPLACE FUNCTION rowcast.add_months(moment timestamp, months int) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $f$ SELECT date_trunc('month', $1) + $2 * interval '1 month'
  + ($1 - date_trunc('month', $1)) $f$"""

_MODIFIED = rf"""CREATE OR REPLACE FUNCTION rowcast.modified(given text, modifiers text[]) RETURNS timestamp
LANGUAGE plpgsql STABLE AS $f$
DECLARE found timestamp; modifier text; m text[]; amount double precision; is_first boolean := true;
BEGIN
  IF given IS NULL THEN RETURN NULL; END IF;
  found := rowcast.moment(given);
  FOREACH modifier IN ARRAY modifiers LOOP
    IF modifier IS NULL THEN RETURN NULL; END IF;
    modifier := lower(btrim(modifier));
    m := regexp_match(modifier, '^({_NUMBER}) *(second|minute|hour|day|month|year)s?$');
    IF m IS NOT NULL THEN
      amount := m[1]::double precision;
      IF m[3] = 'month' THEN
        found := rowcast.add_months(found, trunc(amount)::int) + (amount - trunc(amount)) * interval '30 days';
      ELSIF m[3] = 'year' THEN
        found := rowcast.add_months(found, 12 * trunc(amount)::int) + (amount - trunc(amount)) * interval '365 days';
      ELSE
        found := found + amount * ('1 ' || m[3])::interval;
      END IF;
    ELSIF modifier ~ '^start of (month|year|day)$' THEN
      found := date_trunc(substr(modifier, 10), found);
    ELSIF modifier ~ '^weekday [0-6](\.0*)?$' THEN
      found := found + ((substr(modifier, 9, 1)::int - extract(dow FROM found)::int + 7) % 7) * interval '1 day';
    ELSIF modifier IN ('unixepoch', 'auto') AND is_first AND given ~ '^{_NUMBER}$'
        AND (modifier = 'unixepoch' OR given::double precision NOT BETWEEN 0 AND 5373484.5) THEN
      found := timestamp '1970-01-01' + given::double precision * interval '1 second';
    ELSIF modifier = 'julianday' AND is_first AND given ~ '^{_NUMBER}$' THEN
      NULL;
    ELSIF modifier ~ '^[+-]?\d\d:\d\d(:\d\d(\.\d+)?)?$' THEN
      found := found + CASE left(modifier, 1) WHEN '-' THEN -1 ELSE 1 END * ltrim(modifier, '+-')::interval;
    ELSIF modifier NOT IN ('auto', 'localtime', 'utc', 'subsec', 'subsecond', 'ceiling', 'floor') THEN
      RETURN NULL;
    END IF;
    is_first := false;
  END LOOP;
  RETURN CASE WHEN extract(year FROM found) BETWEEN -4714 AND 9999 THEN found END;
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $f$"""

_YEAR = """CREATE OR REPLACE FUNCTION rowcast.year_text(at timestamp) RETURNS text LANGUAGE sql IMMUTABLE
AS $f$ SELECT CASE WHEN extract(year FROM at) > 0 THEN to_char(at, 'YYYY')
  ELSE '-' || lpad((-extract(year FROM at) - 1)::int::text, 4, '0') END $f$"""

_FORMAT = r"""CREATE OR REPLACE FUNCTION rowcast.format_time(format text, at timestamp) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $f$
DECLARE out text := ''; place int := 1; found text; size int := length(format);
BEGIN
  IF format IS NULL OR at IS NULL THEN RETURN NULL; END IF;
  at := date_trunc('milliseconds', at + interval '500 microseconds');
  WHILE place <= size LOOP
    IF substr(format, place, 1) <> '%' THEN
      out := out || substr(format, place, 1);
      place := place + 1;
      CONTINUE;
    END IF;
    found := CASE substr(format, place + 1, 1)
      WHEN 'd' THEN to_char(at, 'DD') WHEN 'e' THEN lpad(to_char(at, 'FMDD'), 2)
      WHEN 'f' THEN to_char(at, 'SS.MS') WHEN 'F' THEN rowcast.year_text(at) || to_char(at, '-MM-DD')
      WHEN 'G' THEN to_char(at, 'IYYY') WHEN 'g' THEN to_char(at, 'IY')
      WHEN 'H' THEN to_char(at, 'HH24') WHEN 'I' THEN to_char(at, 'HH12') WHEN 'j' THEN to_char(at, 'DDD')
      WHEN 'J' THEN (2440587.5::double precision + extract(epoch FROM at) / 86400)::text
      WHEN 'k' THEN lpad(to_char(at, 'FMHH24'), 2) WHEN 'l' THEN lpad(to_char(at, 'FMHH12'), 2)
      WHEN 'm' THEN to_char(at, 'MM') WHEN 'M' THEN to_char(at, 'MI')
      WHEN 'p' THEN to_char(at, 'AM') WHEN 'P' THEN to_char(at, 'am')
      WHEN 'R' THEN to_char(at, 'HH24:MI') WHEN 's' THEN floor(extract(epoch FROM at))::bigint::text
      WHEN 'S' THEN to_char(at, 'SS') WHEN 'T' THEN to_char(at, 'HH24:MI:SS')
      WHEN 'u' THEN to_char(at, 'ID') WHEN 'V' THEN to_char(at, 'IW')
      WHEN 'w' THEN extract(dow FROM at)::int::text
      WHEN 'U' THEN lpad(((extract(doy FROM at)::int + 6 - extract(dow FROM at)::int) / 7)::text, 2, '0')
      WHEN 'W' THEN lpad(((extract(doy FROM at)::int + 6 - (extract(isodow FROM at)::int - 1)) / 7)::text, 2, '0')
      WHEN 'Y' THEN rowcast.year_text(at) WHEN '%' THEN '%' END;
    IF found IS NULL THEN RETURN NULL; END IF;
    out := out || found;
    place := place + 2;
  END LOOP;
  RETURN out;
END $f$"""

_STRFTIME = (
    "CREATE OR REPLACE FUNCTION rowcast.strftime(format text) RETURNS text LANGUAGE sql STABLE"
    " AS $f$ SELECT rowcast.format_time($1, rowcast.modified('now', ARRAY[]::text[])) $f$",
    "CREATE OR REPLACE FUNCTION rowcast.strftime(format text, given text) RETURNS text LANGUAGE sql STABLE"
    " AS $f$ SELECT rowcast.format_time($1, rowcast.modified($2, ARRAY[]::text[])) $f$",
    "CREATE OR REPLACE FUNCTION rowcast.strftime(format text, given text, VARIADIC modifiers text[]) RETURNS text"
    " LANGUAGE sql STABLE AS $f$ SELECT rowcast.format_time($1, rowcast.modified($2, $3)) $f$",
)

STATEMENTS = (_MOMENT, _MONTHS, _MODIFIED, _YEAR, _FORMAT, *_STRFTIME)

"""The functions and types that filters may use.

An explicit list, because what DuckDB says about its own functions cannot be relied on: it marks ``current_localtime``
and ``age(timestamp)``, which read the clock, as consistent, and each release brings functions that nobody has looked
at here. Left out on purpose are
- what reads the clock, settings, variables, catalog, files or random numbers, or sleeps, logs or raises;
- what parses or runs SQL, or takes a function (lambdas, list_aggregate, list_reduce);
- what makes much from little, and exponentially much when nested, past DuckDB's memory limit: repeat, lpad, rpad,
  replace, regexp_replace, hex, url_encode, concat_ws, array_to_string, format, printf, bar, range, list_resize;
- what takes quadratic time in a text, which no limit of time can end within a row: edit distances;
- what depends on the version (version, hash, typeof) or gives no values that filters compare (JSON, maps, structs).
"""

from __future__ import annotations

_COMPARISON = "= != < <= > >= ~~ !~~ ~~* !~~* ~~~ ^@ like_escape not_like_escape ilike_escape not_ilike_escape"
_ARITHMETIC = "+ - * / // % ** ^ & | ~ << >> || @ add subtract multiply divide mod fmod fdiv xor"
_LOGIC = "greatest least nullif if ifnull coalesce"
_NUMBERS = (
    "abs acos acosh asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees even exp factorial "
    "floor gamma gcd greatest_common_divisor isfinite isinf isnan lcm least_common_multiple lgamma ln log log10 log2 "
    "nextafter pi pow power radians round round_even sign signbit sin sinh sqrt tan tanh trunc"
)
_TEXT = (
    "ascii bit_length char_length character_length chr concat contains ends_with hamming instr jaccard lcase left "
    "len length length_grapheme lower ltrim md5 mismatches nfc_normalize octet_length ord position prefix "
    "regexp_extract regexp_full_match regexp_matches reverse right rtrim sha1 sha256 split_part starts_with "
    "strip_accents strlen strpos substr substring suffix translate trim ucase unicode upper"
)
_TIME = (
    "century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname "
    "dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era hour isodow isoyear "
    "julian last_day make_date make_timestamp make_timestamptz microsecond millennium millisecond minute month "
    "monthname nanosecond quarter second strftime strptime time_bucket timezone to_centuries to_days to_decades "
    "to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp "
    "to_weeks to_years try_strptime week weekday weekofyear year yearweek"
)
_LISTS = (
    "&& @> <@ array_contains array_extract array_has array_has_all array_has_any array_indexof array_intersect "
    "array_length array_position list_append list_cat list_concat list_contains list_count list_distinct list_element "
    "list_extract list_has list_has_all list_has_any list_indexof list_intersect list_max list_min list_pack "
    "list_position list_prepend list_reverse list_slice list_sort list_unique list_value split str_split string_split "
    "array_slice"
)

FUNCTIONS = frozenset(" ".join((_COMPARISON, _ARITHMETIC, _LOGIC, _NUMBERS, _TEXT, _TIME, _LISTS)).split())
"""Names, in lower case, of the functions and operators that filters may call."""

_TYPES = (
    "BOOLEAN BOOL TINYINT SMALLINT INTEGER INT BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT INT1 INT2 INT4 INT8 "
    "FLOAT REAL FLOAT4 DOUBLE FLOAT8 DECIMAL NUMERIC VARCHAR TEXT STRING CHAR "
    "DATE TIME TIMESTAMP DATETIME TIMESTAMPTZ INTERVAL LIST"
)
CAST_TYPES = frozenset([*_TYPES.split(), "TIMESTAMP WITH TIME ZONE"])
"""Names, in upper case, of the types that filters may cast to."""

COLLATIONS = frozenset({"nocase", "noaccent", "nocase.noaccent", "nfc"})

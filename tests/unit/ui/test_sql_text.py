"""SQL statements to copy from a page: values are quoted literals, whatever they contain."""

from staging_api.ui.copies import sql_text


def test_a_value_that_looks_like_a_parameter_stays_a_text() -> None:
    statement = sql_text("SELECT :first, :second", {"first": ":second", "second": "; DROP TABLE a"})
    assert statement == "SELECT ':second', '; DROP TABLE a'"


def test_a_parameter_whose_name_begins_like_another_is_its_own() -> None:
    statement = sql_text("SELECT :since, :since_day", {"since": "1", "since_day": "2"})
    assert statement == "SELECT '1', '2'"


def test_a_cast_and_an_unknown_name_stay() -> None:
    assert sql_text("SELECT :a::text, b::a, :c", {"a": "it's"}) == "SELECT 'it''s'::text, b::a, :c"

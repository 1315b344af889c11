"""Table of names: the same in memory and in its file."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from staging_api import name_table
from staging_api.errors import NoSpace
from staging_api.name_table import NameTable

CHARACTERS = ["a", "b", "/", ".", "ü", "\uffff", "\U0001f600", "\udc80", "z"]


@pytest.fixture(params=[10**6, 7], ids=["in memory", "in a file"])
def table(request, tmp_path, monkeypatch):
    monkeypatch.setattr(name_table, "MOST_IN_MEMORY", request.param)
    monkeypatch.setattr(name_table, "_GROUP", 5)
    yield NameTable(tmp_path)
    # Its file has no name from the start, so a crash leaves nothing behind.
    assert list(tmp_path.iterdir()) == []


def in_bytes(item):
    return item[0].encode("utf-8", "surrogatepass")


def test_it_does_what_a_dictionary_does_in_the_order_of_bytes(table):
    chance = random.Random(5)
    model: dict[str, bytes] = {}
    for number in range(3000):
        name = "".join(chance.choices(CHARACTERS, k=chance.randint(1, 3)))
        if chance.random() < 0.3:
            assert table.pop(name) == model.pop(name, None)
        else:
            table[name] = model[name] = b"%d" % number
        other = chance.choice(CHARACTERS)
        assert (table.get(other), other in table) == (model.get(other), other in model)
        if number % 100 == 0:
            ordered = sorted(
                model.items(), key=lambda item: item[0].encode("utf-8", "surrogatepass")
            )
            assert list(table.items()) == ordered
            assert list(table.items(name)) == [each for each in ordered if each[0] >= name]
            assert (len(table), bool(table)) == (len(model), bool(model))
            assert table.ends() == (ordered[0][0], ordered[-1][0])


def test_what_one_thread_has_filled_another_reads(table):
    with ThreadPoolExecutor(1) as pool:
        for number in range(20):
            pool.submit(table.__setitem__, str(number), b"%d" % number).result()
    assert dict(table.items()) == {str(number): b"%d" % number for number in range(20)}


def test_an_empty_one_has_nothing(table):
    assert (len(table), bool(table), list(table.items()), table.ends()) == (0, False, [], ("", ""))
    for number in range(20):
        table[str(number)] = b""
    for number in range(20):
        table.pop(str(number))
    assert (len(table), bool(table), list(table.items()), table.ends()) == (0, False, [], ("", ""))


def test_one_of_more_names_than_may_be_in_memory_keeps_few_of_them_there(tmp_path, monkeypatch):
    monkeypatch.setattr(name_table, "MOST_IN_MEMORY", 7)
    monkeypatch.setattr(name_table, "_GROUP", 5)
    many, few = NameTable(tmp_path), NameTable(tmp_path)
    for number in range(100):
        many[str(number)] = b""
        assert len(many._recent) < (5 if number >= 6 else 7)
    for number in range(6):
        few[str(number)] = b""
    assert len(few._recent) == 6
    assert (len(many), len(few)) == (100, 6)
    assert (many._file is None, few._file is None) == (False, True)


@pytest.mark.parametrize("table", [7], indirect=True, ids=["in a file"])
def test_a_full_disk_is_no_room(table):
    for number in range(20):
        table[str(number)] = b""
    # SQLite refuses further pages, as on a full disk.
    table._file.execute("PRAGMA max_page_count = 1")
    with pytest.raises(NoSpace, match="full"):
        for number in range(20, 10_000):
            table[str(number)] = b""


def test_a_folder_that_is_not_there_is_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(name_table, "MOST_IN_MEMORY", 7)
    table = NameTable(tmp_path / "none")
    with pytest.raises(NoSpace, match="unable to open"):
        for number in range(20):
            table[str(number)] = b""

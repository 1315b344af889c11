"""Folder of a run's PostgreSQL: in memory if there is space, and removed at the end."""

from pathlib import Path

from tests.server_in_memory import place


def test_a_folder_in_memory_goes_with_its_block(tmp_path: Path) -> None:
    with place(tmp_path, 1) as one, place(tmp_path, 1) as other:
        assert tmp_path in one.parents
        assert one != other
        (other / "file").write_text("x")
        assert one.stat().st_mode & 0o077 == 0
        assert one.parent.stat().st_mode & 0o077 == 0
    assert not one.exists()
    assert not other.exists()


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_used_stays(
    tmp_path: Path,
) -> None:
    with place(tmp_path, 1) as used:
        left = used.with_name("left")
        (left / "data").mkdir(parents=True)
        with place(tmp_path, 1):
            assert used.is_dir()
            assert not left.exists()


def test_without_room_the_folder_is_where_others_are(tmp_path: Path) -> None:
    for memory, bytes_needed in ((tmp_path, 1 << 60), (tmp_path / "none", 1)):
        with place(memory, bytes_needed) as folder:
            assert tmp_path not in folder.parents
            assert folder.is_dir()
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []

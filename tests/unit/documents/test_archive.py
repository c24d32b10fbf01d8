"""The archive: files named by hash, whole or absent, nowhere else."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.primitives import keccak256
from host.documents.archive import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "documents")


def test_what_is_kept_comes_back_by_its_hash_also_after_a_restart(tmp_path: Path) -> None:
    digest = Archive(tmp_path).put(b"evidence")
    assert digest == keccak256(b"evidence")
    assert Archive(tmp_path).get(digest) == b"evidence"
    assert Archive(tmp_path).newest() == (digest,)


@pytest.mark.parametrize("size", [0, 98_305, 200_000])
def test_a_document_of_another_size_is_refused(archive: Archive, size: int) -> None:
    with pytest.raises(MalformedInput):
        archive.put(bytes(size))


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"", b"x" * 31, b"x" * 33, b"/" * 31])
def test_finding_558_a_name_that_leaves_the_directory_is_refused(
    archive: Archive, name: bytes
) -> None:
    with pytest.raises(MalformedInput):
        archive.get(name)
    with pytest.raises(MalformedInput):
        archive.remove(name)


@given(name=st.binary(min_size=32, max_size=32))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_hash_names_a_file_inside_the_directory(tmp_path: Path, name: bytes) -> None:
    archive = Archive(tmp_path / "in")
    (tmp_path / "outside").write_bytes(b"secret")
    assert archive.get(name) is None
    assert archive._path(name).parent == tmp_path / "in"


def test_a_symbolic_link_in_place_of_a_document_is_not_followed(
    archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    digest = keccak256(b"outside")
    archive._path(digest).symlink_to(tmp_path / "outside")
    assert archive.get(digest) is None


def test_a_file_that_changed_on_disk_is_not_served_and_is_mended(archive: Archive) -> None:
    digest = archive.put(b"evidence")
    archive._path(digest).write_bytes(b"evidencf")
    assert archive.get(digest) is None
    archive.put(b"evidence")
    assert archive.get(digest) == b"evidence"


def test_what_a_kill_left_half_written_is_swept_away(tmp_path: Path) -> None:
    Archive(tmp_path).put(b"evidence")
    half = tmp_path / ("ab" * 32 + ".partial")
    half.write_bytes(b"evid")
    archive = Archive(tmp_path)
    assert not half.exists()
    assert len(archive.newest()) == 1


def test_a_full_archive_says_so(tmp_path: Path) -> None:
    archive = Archive(tmp_path, max_files=2)
    archive.put(b"1")
    digest = archive.put(b"2")
    archive.put(b"2")
    with pytest.raises(Unavailable, match="full"):
        archive.put(b"3")
    archive.remove(digest)
    archive.put(b"3")


def test_a_directory_that_cannot_be_made_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        Archive(tmp_path / "file")

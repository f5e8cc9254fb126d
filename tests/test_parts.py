import io

from speech_intent.parts import Part


def test_a_part_is_read_from_its_start_to_its_end():
    part = Part(io.BytesIO(b"0123456789"), 3)
    part.end_at(5)
    assert part.read() == b"34567"
    assert (part.tell(), part.read(1)) == (5, b"")
    assert part.seek(-2, io.SEEK_END) == 3
    assert part.read() == b"67"
    assert part.seek(1) == 1
    assert part.seek(2, io.SEEK_CUR) == 3
    assert part.seek(100) == 5


def test_a_place_before_the_start_is_not_gone_to():
    part = Part(io.BytesIO(b"0123456789"), 3)
    part.seek(2)
    assert part.seek(-1) == -1
    assert part.seek(-3, io.SEEK_CUR) == -1
    assert part.read(1) == b"5"


def test_other_bytes_are_read_in_the_place_of_some():
    part = Part(io.BytesIO(b"0123456789"), 2)
    part.patch(1, b"ab")
    assert part.read() == b"2ab56789"[:8]
    part.seek(2)
    assert part.read(3) == b"b56"


def test_zeros_are_read_in_the_place_of_some():
    part = Part(io.BytesIO(b"0123456789"), 2)
    part.blank(1, 3)
    assert part.read() == b"2\0\0" + b"56789"
    part.seek(2)
    assert part.read(2) == b"\0" + b"5"
    part.seek(1)
    assert part.read(1) == b"\0"


def test_what_a_system_refuses_ends_the_part_and_is_kept():
    class Failing(io.BytesIO):
        def read(self, n=-1):
            raise OSError(5, "Input/output error")

    part = Part(Failing(b"0123456789"), 0)
    assert part.read(4) == b""
    assert part.failure.errno == 5

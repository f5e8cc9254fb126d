"""CSV as people have it: what is read, and that no row is lost without a word."""

import pytest

from speech_intent.csv_files import csv_rows

KNOWN = ("file_name", "intent", "label")
HEADER = "file_name,intent,text"


def read(*lines: str):
    """Read lines that end as a program of today ends them."""
    return csv_rows([f"{line}\n" for line in lines], KNOWN)


def rows_of(*lines: str) -> dict[int, list[str]]:
    """Read lines without problems; give the cells of each row by its line."""
    rows = read(*lines)
    assert rows.problems == ()
    table = rows.table
    return {line: list(table.loc[line]) for line in table.index}


# What is read


def test_rows_are_known_by_their_lines():
    assert rows_of(HEADER, "a.wav,on,please", "b.wav,off,thanks") == {
        2: ["a.wav", "on", "please"],
        3: ["b.wav", "off", "thanks"],
    }


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_seen_in_the_header(separator):
    lines = [line.replace(",", separator) for line in (HEADER, "a.wav,on,please")]
    assert rows_of(*lines) == {2: ["a.wav", "on", "please"]}


def test_the_separator_is_the_one_that_gives_known_columns():
    header = "file_name;intent;remarks, of any kind, by anybody, at all"
    assert rows_of(header, "a.wav;on;x, y") == {2: ["a.wav", "on", "x, y"]}


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"])
def test_a_line_that_names_the_separator_is_obeyed(line):
    assert rows_of(line, "file_name;intent,or so;text", "a.wav;on;please") == {
        3: ["a.wav", "on", "please"]
    }


def test_a_separator_that_nobody_would_guess_may_be_named():
    assert rows_of("sep=^", "file_name^intent", "a.wav^on") == {3: ["a.wav", "on"]}
    assert rows_of("sep=\t", "file_name\tintent", "a.wav\ton") == {3: ["a.wav", "on"]}


@pytest.mark.parametrize("blank", ["", ",,", " , ,\t", '"",,""', "\u200b,\xa0,"])
def test_rows_of_separators_and_blanks_are_no_rows(blank):
    lines = (blank, HEADER, blank, "a.wav,on,please", blank, blank)
    assert rows_of(*lines) == {4: ["a.wav", "on", "please"]}


def test_the_header_of_a_table_that_was_appended_is_no_row():
    lines = (HEADER, "a.wav,on,x", HEADER, "b.wav,off,y")
    assert rows_of(*lines) == {2: ["a.wav", "on", "x"], 4: ["b.wav", "off", "y"]}


def test_separators_at_the_end_of_header_or_rows_are_no_columns():
    expected = {2: ["a.wav", "on"]}
    assert rows_of("file_name,intent,,", "a.wav,on,,") == expected
    assert rows_of("file_name,intent", "a.wav,on,,,") == expected
    assert rows_of("file_name,intent,", "a.wav,on") == expected


def test_a_column_of_numbers_without_a_name_is_left_out():
    assert rows_of(",file_name,intent", "0,a.wav,on") == {2: ["a.wav", "on"]}


def test_what_cannot_be_seen_at_the_ends_of_a_cell_is_taken_off():
    assert rows_of("\ufefffile_name,intent\u200b", "\xa0a.wav ,\u200b on\u2003") == {
        2: ["a.wav", "on"]
    }


def test_short_rows_end_in_empty_cells():
    assert rows_of(HEADER, "a.wav") == {2: ["a.wav", "", ""]}


def test_a_quoted_text_may_have_separators_quotes_and_line_breaks():
    lines = (HEADER, 'a.wav,on,"please, ""now"",', 'or never"', "b.wav,off,x")
    assert rows_of(*lines) == {
        2: ["a.wav", "on", 'please, "now",\nor never'],
        4: ["b.wav", "off", "x"],
    }


def test_a_quoted_text_may_have_lines_of_as_many_fields_as_the_header():
    lines = (HEADER, 'a.wav,on,"please', 'one, two, three"', "b.wav,off,x")
    assert rows_of(*lines)[2] == ["a.wav", "on", "please\none, two, three"]


def test_a_quote_within_a_field_is_a_character():
    assert rows_of(HEADER, 'a.wav,on,6" nails', "b.wav,off,x")[2] == ["a.wav", "on", '6" nails']


def test_a_text_may_be_as_long_as_it_is():
    text = "please " * 40_000
    assert rows_of(HEADER, f"a.wav,on,{text}")[2] == ["a.wav", "on", text.strip()]


# What is named


@pytest.mark.parametrize("last", ['so long"', 'so "long" it is', "", '"so long"'])
def test_rows_that_a_stray_quote_swallows_are_named(last):
    lines = [f"{i}.wav,on,please" for i in range(2, 9)]
    lines[1] = '3.wav,on,"please'
    lines[5] = f"7.wav,on,{last}"
    rows = read(HEADER, *lines)
    named = [f"{line}" for line in rows.table.index]
    (problem,) = rows.problems
    if last == "":  # nothing closes it
        assert problem == 'line 3: a quote (") opens here and never closes; take it out'
        assert named == ["2"]
    else:
        assert problem.startswith('lines 3 to 7: one quote (") opens in the first and another')
        assert named == ["2", "8"]


def test_swallowed_rows_are_known_wherever_the_file_name_stands():
    lines = ("text,intent,file_name", 'please,"on,1.wav', 'now,off",2.wav', "x,on,3.wav")
    rows = read(*lines)
    assert [problem[:15] for problem in rows.problems] == ["lines 2 to 3: o"]
    assert list(rows.table["file_name"]) == ["3.wav"]


def test_swallowed_rows_are_known_among_texts_with_separators():
    rows = read(HEADER, '1.wav,on,"please', '2.wav,off,"now, or never"', "3.wav,on,x")
    assert [problem[:15] for problem in rows.problems] == ["lines 2 to 3: o"]
    assert list(rows.table["file_name"]) == ["3.wav"]


def test_swallowed_rows_are_known_without_suffixes():
    rows = read(HEADER, '1,on,"please', '2,off,please"', "3,on,x")
    assert [problem[:15] for problem in rows.problems] == ["lines 2 to 3: o"]
    assert list(rows.table["file_name"]) == ["3"]


@pytest.mark.parametrize("text", ["on", ""])
def test_a_quote_that_never_closes_is_named(text):
    rows = read(HEADER, "a.wav,on,x", f'b.wav,off,"{text}')
    assert rows.problems == ('line 3: a quote (") opens here and never closes; take it out',)
    assert list(rows.table["file_name"]) == ["a.wav"]


def test_a_quote_in_the_header_is_named():
    rows = read('file_name,"intent', "a.wav,on", "b.wav,off")
    assert rows.problems == ('line 1: a quote (") opens here and never closes; take it out',)
    assert rows.table.empty


def test_a_row_with_too_many_fields_is_named():
    rows = read("file_name,intent", "a.wav,on,please", "b.wav,off")
    assert rows.problems == (
        "line 2: has 3 fields under 2 columns; put quotes around a field that holds the separator",
    )
    assert list(rows.table["file_name"]) == ["b.wav"]


def test_columns_of_one_name_are_named():
    assert read("file_name,intent,intent ", "a.wav,on,off").problems == (
        "has several columns called intent; name each of them differently",
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((",,,", ",,"), "has no header"),
        ((HEADER,), "has no rows"),
        ((HEADER, ",,"), "has no rows"),
        (("sep=;",), "has no header"),
    ],
)
def test_a_table_without_rows(lines, problem):
    rows = read(*lines)
    assert rows.problems == (problem,)
    assert rows.table.empty


def test_a_header_that_does_not_name_the_numbers_of_rows():
    rows = read("file_name,intent", "1,a.wav,on", "2,b.wav,off")
    assert rows.table.empty
    assert rows.problems == (
        "every row has a field more than the header; name all columns there, or put quotes around "
        "a field that holds the separator",
    )
    (problem,) = read("file_name,intent", "1,a.wav,on", "b.wav,off").problems
    assert problem.startswith("line 2: has 3 fields under 2 columns")


@pytest.mark.parametrize("title", ["Table 1", '"file_name" "intent"'])
def test_a_header_of_one_column_is_no_header(title):
    rows = read(title, "file_name,intent", "a.wav,on")
    assert rows.table.empty
    (problem,) = rows.problems
    assert problem.startswith("has one column only (")
    assert problem.endswith("); its first line must name all of them")

"""Delimited text: what is read as what, and which line is named where it is malformed."""

from __future__ import annotations

import numpy as np
import pytest

from kgrl.datasets.delimited import line_number, read_delimited

RATING = {"user": "id", "item": "id", "rating": "float"}


def test_numbers_are_read_as_numbers(write):
    table = read_delimited(write({"r.txt": "7\t1\t0.5\n\n10\t2\t3\n"}) / "r.txt", RATING)
    assert table.frame["user"].tolist() == [7, 10]
    assert table.frame["user"].dtype == np.int64
    assert table.frame["rating"].tolist() == [0.5, 3.0]
    assert table.frame["rating"].dtype == np.float64  # times are floats, too, where RecBole wrote them


@pytest.mark.parametrize("other", ["07", "+7", "7 ", "seven", "7" * 20])
@pytest.mark.parametrize("column", ["user", "item"])
def test_ids_written_in_another_way_stay_apart(write, column, other):
    text = f"{other}\t1\t1\n7\t1\t1\n" if column == "user" else f"1\t{other}\t1\n1\t7\t1\n"
    frame = read_delimited(write({"r.txt": text}) / "r.txt", RATING).frame
    assert frame[column].tolist() == [other, "7"]


@pytest.mark.parametrize("other", ["07", "00", "+7", "7 ", "\v7", "9" * 19, "\u0667"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_whole_numbers_are_plainly_written(write, other, quote):
    path = write({"r.csv": f"7,1\n{quote}{other}{quote},1\n"}) / "r.csv"
    with pytest.raises(ValueError, match=r"r\.csv, line 2: user must be a whole number, plainly written, got"):
        read_delimited(path, {"user": "int", "rating": "float"}, ",", quoted=bool(quote))


def test_digits_of_other_scripts_are_text(write):
    frame = read_delimited(write({"r.txt": "3\t1\t1\n\u0663\t1\t1\n"}) / "r.txt", RATING).frame
    assert frame["user"].tolist() == ["3", "\u0663"]


def test_bytes_that_fit_nothing_stay_apart(write):
    (write({}) / "r.txt").write_bytes(b"caf\xe9\t1\t1\ncaf\xe8\t1\t2\n")
    assert read_delimited(write({}) / "r.txt", RATING).frame["user"].nunique() == 2


def test_a_header_that_is_none(write):
    path = write({"r.csv": "7,1\n8,2\n"}) / "r.csv"
    with pytest.raises(ValueError, match=r"r\.csv, line 1: expected a header, as in 'user,rating', got '7,1'"):
        read_delimited(path, {"user": "int", "rating": "float"}, ",", header=True)


def test_negative_numbers_are_numbers(write):
    frame = read_delimited(write({"r.txt": "-7\t0\t1\n7\t1\t1\n"}) / "r.txt", RATING).frame
    assert frame[["user", "item"]].to_numpy().tolist() == [[-7, 0], [7, 1]]


def test_leading_zero_on_a_block_border_is_seen(write, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.delimited.BLOCK", 1)
    frame = read_delimited(write({"r.txt": "7\t1\t1\n07\t1\t1\n"}) / "r.txt", RATING).frame
    assert frame["user"].tolist() == ["7", "07"]


def test_words_that_pandas_takes_for_missing_are_ids(write):
    frame = read_delimited(write({"r.txt": "NA\tnull\t1\nnan\tNaN\t2\n"}) / "r.txt", RATING).frame
    assert frame["user"].tolist() == ["NA", "nan"]
    assert frame["item"].tolist() == ["null", "NaN"]


def test_what_fits_nothing_is_kept_or_replaced(write):
    folder = write({})
    (folder / "r.txt").write_bytes(b'"a"\t1\t1\ncaf\xe9\t"\t2\n')
    frame = read_delimited(folder / "r.txt", RATING).frame
    assert frame["user"].tolist() == ['"a"', "caf\\xe9"]
    assert frame["item"].tolist() == ["1", '"']


def test_many_chunks_make_one_frame(write, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.delimited.CHUNK", 2)
    text = "".join(f"u{row % 3}\ti{row}\t{row}\n" for row in range(7))
    frame = read_delimited(write({"r.txt": text}) / "r.txt", RATING).frame
    assert frame["user"].tolist() == [f"u{row % 3}" for row in range(7)]
    assert frame.columns.tolist() == list(RATING)
    assert frame.index.tolist() == list(range(7))


def test_two_character_separator(write):
    frame = read_delimited(write({"r.dat": "1::10::5\n2::20::4\n"}) / "r.dat", RATING, "::").frame
    assert frame.to_numpy().tolist() == [[1, 10, 5], [2, 20, 4]]


@pytest.mark.parametrize("separator", ["", ", ", ":::"])
def test_separator_of_another_form(write, separator):
    with pytest.raises(ValueError, match="`separator` must be one character"):
        read_delimited(write({"r.txt": "1, 2, 3\n"}) / "r.txt", RATING, separator)


def test_header_and_quotes(write):
    kinds = {"item": "int", "title": "text"}
    path = write({"f.csv": 'id,title\n1,"A, ""b"""\n2,C\n'}) / "f.csv"
    frame = read_delimited(path, kinds, ",", header=True, quoted=True).frame
    assert frame["title"].tolist() == ['A, "b"', "C"]


@pytest.mark.parametrize(("text", "line", "what"), [
    ("1\t1\t5\n2\t2\n", 2, "expected 3 fields"),
    ("1\t1\t5\n\n2\t2\t5\t9\n", 3, "got 4"),
    ("1\t1\t5\t9\n2\t2\t5\t9\n", 1, "got 4"),
    ("1\t1\tfive\n", 1, "rating must be a number, got 'five'"),
    ("1\t1\t5\n1\t2\t\n", 2, "rating must be a number, got ''"),
    ("1\t1\t5\n\t2\t5\n", 2, "user must be an id, got ''"),
    ("a\t1\t5\n\t2\t5\n", 2, "user must be an id, got ''"),
])
def test_malformed_line_is_named(write, text, line, what):
    path = write({"r.txt": text}) / "r.txt"
    with pytest.raises(ValueError, match=f"r.txt, line {line}: .*{what}"):
        read_delimited(path, RATING)


@pytest.mark.parametrize("quoted", [False, True])
def test_field_too_many_does_not_make_up_for_one_too_few(write, quoted):
    path = write({"f.csv": "id,title\n1,A,B\n2\n"}) / "f.csv"
    with pytest.raises(ValueError, match=r"f\.csv, line 2: expected 2 fields .* got 3"):
        read_delimited(path, {"item": "id", "title": "text"}, ",", header=True, quoted=quoted)


def test_missing_and_empty_files(write):
    folder = write({"empty.txt": ""})
    with pytest.raises(FileNotFoundError, match=r"none\.txt does not exist"):
        read_delimited(folder / "none.txt", RATING)
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        read_delimited(folder / "empty.txt", RATING)


def test_a_damaged_header_is_named(write):
    path = write({"f.csv": "id,title,more\n1,A\n"}) / "f.csv"
    with pytest.raises(ValueError, match=r"f\.csv, line 1: expected 2 fields"):
        read_delimited(path, {"item": "id", "title": "text"}, ",", header=True)


def test_a_byte_order_mark_is_no_header(write):
    path = write({"a.csv": "\ufeff\n1,One\n"}) / "a.csv"
    with pytest.raises(ValueError, match=r"a\.csv, line 1: expected 2 fields"):
        read_delimited(path, {"item": "id", "title": "text"}, ",", header=True, quoted=True)


def test_line_number_counts_filled_lines(write):
    assert line_number(write({"r.txt": "a\n\nb\n"}) / "r.txt", 1) == 3


@pytest.mark.parametrize("chunk", [3, 64, 1 << 18])
def test_a_number_in_disguise_is_seen_wherever_it_lies(tmp_path, monkeypatch, chunk):
    """Also across the edges of the blocks that the file is read in."""
    monkeypatch.setattr("kgrl.datasets.delimited.BLOCK", chunk)
    path = tmp_path / "a.csv"
    for place in range(40):
        rows = [f"{number},7,0.5\n" for number in range(10, 50)]
        path.write_text("".join(rows))
        columns = {"user": "id", "item": "id", "rating": "float"}
        plain = read_delimited(path, columns, ",").frame
        assert plain["user"].tolist() == list(range(10, 50))
        assert plain["rating"].eq(0.5).all()
        rows[place] = rows[place].replace(",7,", ",07,")
        path.write_text("".join(rows))
        assert read_delimited(path, columns, ",").frame["item"].astype(str).tolist()[place] == "07"
        path.write_text("".join(rows).replace(",07,", ",7,7,"))
        with pytest.raises(ValueError, match=f"line {place + 1}: expected 3 fields"):
            read_delimited(path, columns, ",")


def test_a_quote_that_opens_over_a_line_end_is_refused_by_the_line(write):
    """Each line alone has the right number of fields; between quotes the line's end is part of one."""
    path = write({"f.csv": 'item,title,genres\n1,One,"\n2,"Two, The",Y\n3,Three,Z\n'}) / "f.csv"
    with pytest.raises(ValueError, match=r"f.csv, line 3: expected 3 fields .* got 5"):
        read_delimited(path, {"item": "int", "title": "text", "genres": "text"}, ",", header=True, quoted=True)
    path.write_text('item,title,genres\n1,"a\nb",x\n2,c,y\n3,d\n')
    with pytest.raises(ValueError, match=r"f.csv, line 5: expected 3 fields .* got 2"):
        read_delimited(path, {"item": "int", "title": "text", "genres": "text"}, ",", header=True, quoted=True)
    path.write_text('item,title,genres\n1,One,"X\nY"\n2,Two,Z\n')
    table = read_delimited(path, {"item": "int", "title": "text", "genres": "text"}, ",", header=True, quoted=True)
    assert table.frame.genres.tolist() == ["X\nY", "Z"]

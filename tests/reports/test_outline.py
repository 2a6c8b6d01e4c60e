"""Any document as tables."""

from snnconvert.reports.outline import MOST_ROWS, Facts, Grid, outline


def test_single_values_come_first_and_dictionaries_get_titles() -> None:
    blocks = outline({"limits": {"axons": 4096, "cores": None}, "chips": 1, "weight_bits": 8})
    assert blocks == [
        Facts("", (("chips", "1"), ("weight bits", "8"))),
        Facts("limits", (("axons", "4,096"), ("cores", "–"))),
    ]


def test_a_list_of_records_is_a_table_of_all_their_fields() -> None:
    (grid,) = outline({"layers": [{"name": "a", "cores": 1200}, {"name": "b", "fits": True}]})
    assert isinstance(grid, Grid)
    assert grid.columns == ("name", "cores", "fits")
    assert grid.rows == (("a", "1,200", "–"), ("b", "–", "yes"))
    assert grid.numeric == (False, True, False)


def test_records_by_name_are_a_table_too() -> None:
    (grid,) = outline({"layers": {"conv1": {"max": 3.5}, "conv2": {"max": 0.125}}})
    assert isinstance(grid, Grid)
    assert grid.title == "layers"
    assert grid.rows == (("conv1", "3.5"), ("conv2", "0.125"))


def test_deeper_titles_are_joined() -> None:
    blocks = outline({"a": {"b": {"c": {"d": 1}}}})
    assert blocks == [Facts("a · b · c", (("d", "1"),))]


def test_long_tables_and_lists_are_cut_and_say_so() -> None:
    (grid,) = outline({"rows": [{"i": i} for i in range(MOST_ROWS + 7)]})
    assert isinstance(grid, Grid)
    assert (len(grid.rows), grid.left_out) == (MOST_ROWS, 7)
    (facts,) = outline({"numbers": list(range(20)), "empty": [], "nothing": {}})
    assert isinstance(facts, Facts)
    assert facts.rows[0] == ("numbers", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 8 more")
    assert facts.rows[1:] == (("empty", "–"), ("nothing", "–"))


def test_lists_inside_a_row_stay_on_one_line() -> None:
    (grid,) = outline({"blocks": [{"shape": [16, 6, 6], "limits": {"axons": 4096}}]})
    assert isinstance(grid, Grid)
    assert grid.rows == (("16, 6, 6", "axons: 4,096"),)


def test_nothing_gives_nothing() -> None:
    assert outline({}) == []


def test_utilisation_is_shown_in_percent() -> None:
    (table,) = outline({"utilisation": {"conv1": {"cores": 0.984375}, "conv2": {"cores": 0.5}}})
    assert isinstance(table, Grid)
    assert table.rows == (("conv1", "98.4 %"), ("conv2", "50.0 %"))
    (other,) = outline({"scales": {"conv1": {"cores": 0.75}, "conv2": {"cores": 0.5}}})
    assert isinstance(other, Grid)
    assert other.rows[0] == ("conv1", "0.75")

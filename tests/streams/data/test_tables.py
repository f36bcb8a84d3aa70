"""Tables: a data set from CSV or Parquet."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from perdure.errors import DataUnavailable, InvalidValue
from perdure.streams import by_column
from perdure.streams.data import tables


def write(table, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


@pytest.fixture
def weather():
    """Forty days of two towns."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=40),
            "town": ["Ulm", "Bonn"] * 20,
            "wind": rng.normal(20, 5, 40),
            "cloudy": rng.random(40) < 0.5,
            "rain": ["yes", "no", "no", "maybe"] * 10,
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_becomes_numbers_and_classes(tmp_path, weather, suffix):
    """Two columns for two towns, one each for wind and clouds; three kinds of rain."""
    path = write(weather.drop(columns="day"), tmp_path / f"weather{suffix}")
    data = tables(path, "rain")
    assert "weather" == data.name
    assert ("maybe", "no", "yes") == data.classes
    assert (4,) == data.shape
    assert torch.float32 == data.train_x.dtype
    assert (32, 8) == (len(data.train_y), len(data.test_y))
    assert [2, 4, 2] == data.test_y.bincount().tolist()


def test_numbers_are_standardised_by_the_training_rows_alone(tmp_path):
    """Training 1, 3 has mean 2 and deviation 1, so a test row of 5 is 3; a constant is 0."""
    train = pd.DataFrame({"a": [1.0, 3.0], "same": [4, 4], "y": [0, 1]})
    test = pd.DataFrame({"a": [5.0, 2.0], "same": [4, 6], "y": [1, 0]})
    paths = [write(t, tmp_path / f"{i}.csv") for i, t in enumerate((train, test))]
    data = tables(paths[0], "y", test=paths[1])
    assert [[-1, 0], [1, 0]] == data.train_x.tolist()
    assert [[3, 0], [0, 2]] == data.test_x.tolist()
    assert [1, 0] == data.test_y.tolist()


def test_a_category_that_training_lacks_is_zero_everywhere(tmp_path):
    """So is one that is missing; training's categories are sorted."""
    train = pd.DataFrame({"town": ["Ulm", "Bonn", "Ulm"], "y": [0, 1, 1]})
    test = pd.DataFrame({"town": ["Bonn", "Kiel", None], "y": [0, 1, 1]})
    paths = [write(t, tmp_path / f"{i}.parquet") for i, t in enumerate((train, test))]
    data = tables(paths[0], "y", test=paths[1])
    assert [[0, 1], [1, 0], [0, 1]] == data.train_x.tolist()
    assert [[1, 0], [0, 0], [0, 0]] == data.test_x.tolist()


@pytest.mark.parametrize("dtype", ["string", "category", "object"])
def test_categories_of_every_dtype_are_read(tmp_path, dtype):
    """As Parquet keeps them, missing ones included."""
    table = pd.DataFrame({"town": pd.Series(["Ulm", None, "Bonn"], dtype=dtype), "y": [0, 1, 1]})
    path = write(table, tmp_path / "t.parquet")
    assert [[0, 1], [0, 0], [1, 0]] == tables(path, "y", test=path).train_x.tolist()


def test_a_missing_number_is_the_mean_of_training(tmp_path):
    """That is 0 once standardised; integers and booleans that may be missing are read too."""
    table = pd.DataFrame(
        {
            "a": [0.0, None, 2.0],
            "n": pd.Series([1, None, 3], dtype="Int64"),
            "b": pd.Series([True, None, False], dtype="boolean"),
            "y": [0, 1, 0],
        }
    )
    path = write(table, tmp_path / "t.parquet")
    data = tables(path, "y", test=path)
    assert [[-1, -1, 1], [0, 0, 0], [1, 1, -1]] == data.train_x.tolist()


def test_kept_columns_are_not_shown_but_order_the_tasks(tmp_path, weather):
    """A stream by day: the first task has the first half of the days."""
    path = write(weather, tmp_path / "weather.parquet")
    data = tables(path, "rain", keep=["day"])
    assert (4,) == data.shape
    stream = by_column(data, "day", tasks=2)
    assert stream.tasks[0].name.startswith("day 2024-01-0")
    days = np.sort(data.columns["day"][0])
    assert "datetime64" in str(days.dtype)
    assert [16, 16] == [len(task.train) for task in stream]


def test_kept_columns_go_with_their_rows(tmp_path):
    """On both sides of the split."""
    table = pd.DataFrame({"a": range(20), "when": [10.0 * a for a in range(20)], "y": [0, 1] * 10})
    data = tables(write(table, tmp_path / "t.csv"), "y", keep=["when"])
    scale, mean = data.columns["when"][0].std() / 10, data.columns["when"][0].mean() / 10
    for x, when in zip((data.train_x, data.test_x), data.columns["when"], strict=True):
        assert np.allclose(x[:, 0].numpy() * scale + mean, when / 10, atol=1e-5)


def test_a_number_may_be_predicted(tmp_path, weather):
    """The label is then one float a row."""
    path = write(weather.drop(columns="day"), tmp_path / "w.csv")
    data = tables(path, "wind", regression=True)
    assert ((32, 1), (), 1) == (tuple(data.train_y.shape), data.classes, data.outputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "snow"}, r"no column \['snow'\]; it has \['day'"),
        ({"label": "rain", "keep": ["hour"]}, r"no column \['hour'\]"),
        ({"label": "rain", "keep": ["rain"]}, "leave no column"),
        ({"label": "rain", "keep": ["day", "town", "wind", "cloudy"]}, "leave no column"),
        ({"label": "rain"}, r"'day' is a time; set it apart with keep=\['day'\]"),
        ({"label": "rain", "keep": ["day"], "test": 1.0}, "fraction"),
    ],
    ids=["label", "keep", "both", "all", "time", "share"],
)
def test_columns_that_cannot_be_used_are_refused(tmp_path, weather, settings, message):
    """With the column and what to do."""
    path = write(weather, tmp_path / "weather.parquet")
    with pytest.raises(InvalidValue, match=message):
        tables(path, **settings)


@pytest.mark.parametrize(
    ("column", "message"),
    [([np.nan] * 4, "'a' is empty"), ([1.0, np.inf, 0.0, 2.0], "'a' is empty or infinite")],
    ids=["empty", "infinite"],
)
def test_a_column_that_has_no_mean_is_refused(tmp_path, column, message):
    """Rather than learning from NaN."""
    path = write(pd.DataFrame({"a": column, "y": [0, 1, 0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(InvalidValue, match=message):
        tables(path, "y", test=0.5)


def test_missing_labels_are_refused(tmp_path):
    """With how many there are."""
    table = pd.DataFrame({"a": [1, 2, 3], "y": ["p", None, None]})
    with pytest.raises(InvalidValue, match="'y' has 2 missing labels"):
        tables(write(table, tmp_path / "t.csv"), "y")


def test_two_tables_must_have_the_same_columns(tmp_path):
    """The message names those that differ."""
    a = write(pd.DataFrame({"a": [1, 2], "y": [0, 1]}), tmp_path / "a.csv")
    b = write(pd.DataFrame({"b": [1, 2], "y": [0, 1]}), tmp_path / "b.csv")
    with pytest.raises(InvalidValue, match=r"differ in the columns \['a', 'b'\]"):
        tables(a, "y", test=b)


def test_a_file_that_is_not_there_or_no_table_is_refused(tmp_path):
    """By its path, or by its ending."""
    with pytest.raises(DataUnavailable, match=r"no file .*gone.csv"):
        tables(tmp_path / "gone.csv", "y")
    with pytest.raises(InvalidValue, match=r"ends in '.xlsx'"):
        tables(tmp_path / "t.xlsx", "y")


def test_decimals_are_numbers(tmp_path):
    """Parquet has prices so: standardised, and no category for each."""
    prices = [Decimal("1.50"), Decimal("2.50")] * 20
    table = pd.DataFrame({"price": prices, "sold": ["yes", "no"] * 20})
    data = tables(write(table, tmp_path / "shop.parquet"), "sold")
    assert (1,) == data.shape
    assert [-1.0, 1.0] == data.train_x.unique().tolist()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([date(2024, 1, 1 + day) for day in range(4)], "'odd' is a time"),
        (pd.to_timedelta(range(4)), "'odd' is a time"),
        ([[1, 2]] * 4, "'odd' holds lists"),
    ],
)
def test_a_column_that_is_no_input_is_refused_by_name(tmp_path, values, said):
    """A day or a list of its own for each row would be a category for each row."""
    table = pd.DataFrame({"a": range(4), "odd": values, "y": [0, 1, 0, 1]})
    with pytest.raises(InvalidValue, match=said):
        tables(write(table, tmp_path / "odd.parquet"), "y")


def test_numbers_in_one_table_and_words_in_the_other_are_refused(tmp_path):
    """One bad value makes a column of numbers one of words; as categories they say nothing."""
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]})
    train = write(table, tmp_path / "train.csv")
    test = write(table.astype({"a": object}).replace({"a": {4.0: "four"}}), tmp_path / "test.csv")
    with pytest.raises(InvalidValue, match=r"columns \['a'\] are numbers in one table"):
        tables(train, "y", test=test)


def test_tables_that_say_nothing_are_refused(tmp_path):
    """No rows; or words where a regression needs numbers."""
    empty = write(pd.DataFrame({"a": [], "y": []}), tmp_path / "empty.csv")
    with pytest.raises(InvalidValue, match="has no rows"):
        tables(empty, "y")
    words = write(pd.DataFrame({"a": range(4), "y": list("abcd")}), tmp_path / "words.csv")
    with pytest.raises(InvalidValue, match="a regression needs numbers"):
        tables(words, "y", regression=True)

"""Reading tables of ours."""

import pandas as pd


def read_table(path: str) -> pd.DataFrame:
    """Read a table of ours: an empty field is no value, and a name is text, even `null`."""
    text = dict.fromkeys(("dataset", "model", "attack", "filter"), str)
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)

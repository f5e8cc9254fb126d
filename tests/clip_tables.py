"""Tables of clips to be split: made up, without audio."""

import pandas as pd

INTENTS = ("dim", "off", "on")


def clips(n: int, **columns) -> pd.DataFrame:
    """`n` clips of each of three intents; a column is a function of (intent, i)."""
    rows = [
        {"file_name": f"{intent}_{i}.wav", "intent": intent, "speaker": "", "split": ""}
        | {"digest": f"{intent}{i}"}
        | {name: value(intent, i) for name, value in columns.items()}
        for intent in INTENTS
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Clips of each intent by split."""
    crosstab = pd.crosstab(table["split"], table["intent"])
    return {split: dict(row) for split, row in crosstab.iterrows()}


def corrected(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Corrected clips: (intent, speaker, digest)."""
    table = pd.DataFrame(rows, columns=["intent", "speaker", "digest"])
    names = [f"correction_{i}.flac" for i in range(len(rows))]
    return table.assign(file_name=names, split="", corrected="yes")


def with_corrections(table: pd.DataFrame, *rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.concat([table, corrected(*rows)], ignore_index=True).fillna("")


def of_corrections(table: pd.DataFrame) -> list[str]:
    return table.loc[table["corrected"] == "yes", "split"].tolist()

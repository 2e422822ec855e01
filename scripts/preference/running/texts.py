"""Check the texts among a stage's flags: none is empty, and each can be written as UTF-8."""


def problems(values: dict):
    """Yield what is wrong with the texts among the values of flags."""
    for name, value in values.items():
        for text in value if isinstance(value, tuple) else (value,):
            if text == "":
                yield f"--{name}: is empty"
            if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                yield f"--{name} {text}: is not UTF-8 text"

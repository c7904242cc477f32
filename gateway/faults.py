"""What is wrong with a setting, in words: pydantic's own are for programmers."""

from pydantic_core import ErrorDetails

SET_ELSEWHERE = {
    "encoding": "`encoding` is given by the carrier's audio, and can't be set",
    "sample_rate": "`sample_rate` is given by the carrier's audio, and can't be set",
    "speech_model": "`speech_model` is set by TURNGATE_ASSEMBLYAI_SPEECH_MODEL",
    "token": "`token` is not used: the key is set by ASSEMBLYAI_API_KEY",
}
"""Parameters of AssemblyAI's that further ones are not to override."""

_EXPECTED = {
    "bool_parsing": "true or false is",
    "int_parsing": "a whole number is",
    "int_from_float": "a whole number is",
    "float_parsing": "a number is",
    "finite_number": "a finite number is",
    "literal_error": "{expected} is",
    "greater_than": "more than {gt:g} is",
    "greater_than_equal": "at least {ge:.12g} is",
    "less_than_equal": "at most {le:.12g} is",
    "string_too_short": "some text is",
    "string_pattern_mismatch": "1 to 64 of the characters A-Z a-z 0-9 . _ : - are",
    "dict_type": 'a JSON object, {{"min_turn_silence": 300}}, is',
}
"""What pydantic's faults mean, by their types."""


def what_is_wrong(error: ErrorDetails) -> str:
    """One fault of one setting: a sentence without its name and its full stop."""
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    if len(error["loc"]) > 1:
        # Only the further parameters have anything inside.
        message = f"the value of {error['loc'][1]!r} is none that a query parameter can have"
    elif error["type"] in _EXPECTED:
        message = f"{_EXPECTED[error['type']].format_map(error.get('ctx', {}))} expected"
    return message[:1].lower() + message[1:]

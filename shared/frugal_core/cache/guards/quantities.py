"""Numbers, measures and dates in a text, and the words besides them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

from frugal_core.cache.guards.calendar import (
    BEFORE_DATES,
    BEFORE_SEASONS,
    DAY_PARTS,
    MONTHS,
    PERIODS,
    RELATIVE,
    SEASONS,
    WEEKDAYS,
    WHICH,
)
from frugal_core.cache.guards.measures import CURRENCY_SIGNS, UNITS
from frugal_core.cache.guards.words import Token, each_word, tokens

ONES = {
    word: number
    for number, word in enumerate(
        each_word(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
            "eighteen nineteen"
        )
    )
}
TENS = {word: 10 * number for number, word in enumerate(each_word("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SHORT_SCALES = {"k": 10**3, "mn": 10**6, "mio": 10**6, "bn": 10**9, "lakh": 10**5, "crore": 10**7}
ORDINALS = {
    word: number
    for number, word in enumerate(
        each_word(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
            "sixteenth seventeenth eighteenth nineteenth twentieth"
        ),
        1,
    )
} | {"thirtieth": 30, "hundredth": 100}
OTHERS = {"half": "0.5", "quarter": "0.25", "dozen": "12", "twice": "2", "thrice": "3", "double": "2", "triple": "3"}
ROMAN = {
    word: number
    for number, word in enumerate(each_word("ii iii iv - vi vii viii ix - xi xii xiii xiv xv xvi xvii xviii xix xx"), 2)
    if word != "-"
}
"""Read so in any case, and therefore alike in both texts; single letters are no numbers."""


class Reading(NamedTuple):
    """What a text says of numbers, measures and time.

    Attributes:
        words: All other tokens, in order.
        numbers: Values in digits, sorted; a number that is part of a date is not among them.
        measures: Values and units, sorted: `("5", "km")`.
        dates: Parts of dates, as `("month", "3")`.
        sequence: All tokens as texts, in order.
    """

    words: tuple[Token, ...]
    numbers: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    dates: frozenset[tuple[str, str]]
    sequence: tuple[str, ...]


@lru_cache(64)
def read(text: str) -> Reading:
    """Read a text. Remembered only until all guards have seen it: each guard remembers what it makes of it.

    >>> read("Is 1,000 km in two days on 3 March much?").measures
    (('1000', 'kilometre'), ('2', 'day'))
    """
    return _Reader(text).reading()


class _Reader:
    """Goes through the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.texts = [token.text for token in self.tokens]
        self.count = len(self.texts)
        self.numbers: list[str] = []
        self.measures: list[tuple[str, str]] = []
        self.dates: set[tuple[str, str]] = set()
        self.words: list[Token] = []

    def reading(self) -> Reading:
        place = 0
        while place < self.count:
            word = self.texts[place]
            if word in _TELLING or word[0].isdigit():
                after = self.date(place) or self.number(place)
                if after:
                    place = after
                    continue
            self.words.append(self.tokens[place])
            place += 1
        return Reading(
            tuple(self.words),
            tuple(sorted(self.numbers)),
            tuple(sorted(self.measures)),
            frozenset(self.dates),
            tuple(self.texts),
        )

    def at(self, place: int) -> str:
        return self.texts[place] if 0 <= place < self.count else ""

    # --- dates: each returns the place after what it read, 0 for nothing ---

    def date(self, place: int) -> int:
        word = self.texts[place]
        if word[0].isdigit():
            return self.date_in_digits(place)
        if word in MONTHS and self.is_month(place):
            return self.month(place)
        if word in ORDINALS and self.at(place + 1) == "of" and self.at(place + 2) in MONTHS:
            return self.day_before_month(place, ORDINALS[word])
        if word in WEEKDAYS:
            if word in ("sat", "sun") and self.at(place - 1) not in BEFORE_DATES:
                return 0
            self.dates.add(("weekday", WEEKDAYS[word]))
            return place + 1
        if word in RELATIVE:
            self.dates.add(("day", RELATIVE[word]))
            return place + 1
        if word in WHICH and (self.at(place + 1) in PERIODS or self.at(place + 1) in WEEKDAYS or self.at(place + 1) in MONTHS):
            period = self.at(place + 1)
            if period in PERIODS:
                self.dates.add((WHICH[word], PERIODS[period]))
                return place + 2
            self.dates.add((WHICH[word], "one"))
            return place + 1
        if word == "q" and self.at(place + 1) in ("1", "2", "3", "4"):
            self.dates.add(("quarter", self.at(place + 1)))
            return place + 2
        if word in SEASONS and self.at(place - 1) in BEFORE_SEASONS:
            self.dates.add(("season", SEASONS[word]))
            return place + 1
        if word in DAY_PARTS:
            self.dates.add(("time", DAY_PARTS[word]))
            return place + 1
        return 0

    def is_month(self, place: int) -> bool:
        word = self.texts[place]
        if word not in ("may", "march", "mar", "dec", "jan", "jun", "sep"):
            return True
        return self.at(place - 1) in BEFORE_DATES or self.near_number(place - 1) or self.near_number(place + 1)

    def near_number(self, place: int) -> bool:
        word = self.at(place)
        return word[:1].isdigit() or word in ("st", "nd", "rd", "th") or word in ORDINALS

    def month(self, place: int) -> int:
        self.dates.add(("month", MONTHS[self.texts[place]]))
        place += 1
        day = self.at(place)
        if self.at(place) == "the" and (self.at(place + 1)[:1].isdigit() or self.at(place + 1) in ORDINALS):
            place += 1
            day = self.at(place)
        if day.isdigit() and len(day) <= 2 and int(day) <= 31 and self.at(place + 1) not in ("am", "pm"):
            self.dates.add(("day", str(int(day))))
            place += 1 + self.ordinal_ending(place + 1)
        elif day in ORDINALS:
            self.dates.add(("day", str(ORDINALS[day])))
            place += 1
        return place + self.year(place)

    def year(self, place: int) -> int:
        word = self.at(place)
        if len(word) == 4 and word.isdigit():
            self.dates.add(("year", str(int(word))))
            return 1
        return 0

    def ordinal_ending(self, place: int) -> int:
        return int(self.at(place) in ("st", "nd", "rd", "th") and self.tokens[place].glued)

    def day_before_month(self, place: int, day: int) -> int:
        self.dates.add(("day", str(day)))
        after = place + 1 + self.ordinal_ending(place + 1)
        return self.month(after + (self.at(after) == "of"))

    def date_in_digits(self, place: int) -> int:
        word = self.texts[place]
        if word.count("-") == 2:
            year, month, day = word.split("-")
            self.dates |= {("year", str(int(year))), ("month", str(int(month))), ("day", str(int(day)))}
            return place + 1
        if word.count("/") == 2 or (word.count(".") == 2 and len(word) > 7 and word[-5] == "."):
            first, second, year = word.replace("/", ".").split(".")
            self.dates |= {("year", str(int(year))), ("day and month", f"{int(first)}/{int(second)}")}
            return place + 1
        if ":" in word:
            return self.time(place)
        if not word.isdigit():
            return 0
        after = place + 1
        ending = self.at(after) if after < self.count and self.tokens[after].glued else ""
        if self.at(after) in ("am", "pm"):
            return self.time(place)
        if self.at(after) in ("bc", "bce"):
            self.dates.add(("year", f"{int(word)} BC"))
            return after + 1
        if ending == "s" and len(word) in (2, 4) and int(word) % 10 == 0:
            self.dates.add(("decade", str(int(word) + (1900 if len(word) == 2 else 0))))
            return after + 1
        follows = after + self.ordinal_ending(after)
        follows += self.at(follows) == "of"
        if self.at(follows) in MONTHS and int(word) <= 31:
            return self.day_before_month(place, int(word))
        free = not ending and self.at(after) not in UNITS and self.at(place - 1) not in CURRENCY_SIGNS
        if len(word) == 4 and 1500 <= int(word) < 2100 and free:
            self.dates.add(("year", str(int(word))))
            return after
        return 0

    def time(self, place: int) -> int:
        hours, minutes = ([int(part) for part in self.texts[place].split(":")] + [0])[:2]
        after = place + 1
        if self.at(after) in ("am", "pm"):
            hours = hours % 12 + 12 * (self.at(after) == "pm")
            after += 1
        self.dates.add(("time", f"{hours}:{minutes:02d}"))
        return after

    # --- numbers ---

    def number(self, place: int) -> int:
        value, after, weak = self.value(place)
        if value is None:
            return 0
        before = self.at(place - 1)
        unit, after = self.unit(after)
        if before in CURRENCY_SIGNS:
            unit = unit if unit in ("cent",) else CURRENCY_SIGNS[before]
            if self.words and self.words[-1].text == before:
                self.words.pop()
        if unit:
            value = _trimmed(value)
            self.measures.append((value, unit))
        if not weak:
            self.numbers.append(value)
        return after

    def unit(self, place: int) -> tuple[str, int]:
        pair = f"{self.at(place)} {self.at(place + 1)}"
        if pair in UNITS:
            return UNITS[pair], place + 2
        word = self.at(place)
        if word in UNITS:
            return UNITS[word], place + 1
        return "", place

    def value(self, place: int) -> tuple[str | None, int, bool]:
        """A number, the place after it, and whether it may be no number: "one"."""
        word = self.texts[place]
        if word[0].isdigit():
            return self.digits(place)
        if word in ONES or word in TENS or word in SCALES:
            return self.spelled(place)
        if word in ORDINALS:
            aside = word == "first" and (
                place == self.count - 1
                or self.at(place - 1) in ("my", "your", "at")
                or self.at(place + 1) in ("how", "what", "of", "i", "please", "time")
            )
            return str(ORDINALS[word]), place + 1, aside
        if word in ROMAN:
            return str(ROMAN[word]), place + 1, False
        if word == "couple" and self.at(place + 1) == "of":
            return "2", place + 2, True
        if word == "half":
            after = place + 1 + (self.at(place + 1) in ("a", "an"))
            if self.at(after) == "dozen":
                return "6", after + 1, False
            return "0.5", after if self.at(after) in UNITS else place + 1, False
        if word in OTHERS:
            return OTHERS[word], place + 1, False
        return None, place, False

    def digits(self, place: int) -> tuple[str | None, int, bool]:
        word = self.texts[place]
        if word.startswith("0x"):
            return word, place + 1, False
        value = _in_digits(word)
        after = place + 1
        follower = self.at(after)
        scale = SCALES.get(follower) or SHORT_SCALES.get(follower, 0)
        if not scale and follower in ("m", "b") and self.at(place - 1) in CURRENCY_SIGNS:
            scale = {"m": 10**6, "b": 10**9}[follower]
        if scale:
            try:
                return _trimmed(str(Decimal(value) * scale)), after + 1, False
            except InvalidOperation:
                return value, after, False
        ordinal = self.ordinal_ending(after)
        return value, after + ordinal, value == "1" and not ordinal

    def spelled(self, place: int) -> tuple[str | None, int, bool]:
        total = current = 0
        last = ""
        while place < self.count:
            word = self.texts[place]
            if word in ONES or word in ORDINALS:
                number = ONES.get(word) or ORDINALS.get(word, 0)
                if (last == "tens" and number >= 10) or (last == "ones" and 10 <= current < 100 and number >= 10):
                    current = current * 100 + number
                elif last == "ones" or (last == "tens" and word == "zero"):
                    break
                else:
                    current += number
                last = "ones"
                if word in ORDINALS:
                    place += 1
                    break
            elif word in TENS:
                if last == "tens" or (last == "ones" and 10 <= current < 100):
                    current = current * 100 + TENS[word]
                elif last == "ones":
                    break
                else:
                    current += TENS[word]
                last = "tens"
            elif word == "hundred":
                current = max(1, current) * 100
                last = "scale"
            elif word in SCALES:
                total += max(1, current) * SCALES[word]
                current, last = 0, "scale"
            elif not (word == "and" and last == "scale" and (self.at(place + 1) in ONES or self.at(place + 1) in TENS)):
                break
            place += 1
        value = str(total + current)
        if [self.at(place), self.at(place + 1), self.at(place + 2)] == ["and", "a", "half"]:
            value, place = value + ".5", place + 3
        return value, place, value == "1"


def _in_digits(word: str) -> str:
    """Digits as written in English, without separators; what has several points is left as it is."""
    if not word.isascii():
        word = "".join(str(int(each)) if each.isdecimal() else each for each in word)
    head, comma, tail = word.rpartition(",")
    if comma:
        grouped = len(tail.partition(".")[0]) == 3 and not head.startswith("0")
        word = word.replace(",", "") if grouped or "," in head else f"{head}.{tail}"
    if word.count(".") > 1:
        return word
    whole, point, decimals = word.partition(".")
    if not point:
        return str(int(whole)) if whole.isdecimal() and len(whole) < 20 else whole
    if len(decimals) == 2 and decimals.endswith("0") and decimals != "00":
        return word  # 3.10 is no 3.1 where it is a version
    return _trimmed(word)


def _trimmed(value: str) -> str:
    """A number without zeros at the end that mean nothing."""
    if value.count(".") > 1 or value.startswith("0x"):
        return value
    if "E" in value:
        value = f"{Decimal(value):f}"
    return value.rstrip("0").rstrip(".") if "." in value else value


_TELLING = frozenset(
    {*ONES, *TENS, *SCALES, *ORDINALS, *OTHERS, *ROMAN, *MONTHS, *WEEKDAYS, *RELATIVE, *WHICH, *SEASONS, *DAY_PARTS}
    | {"couple", "half", "q"}
)

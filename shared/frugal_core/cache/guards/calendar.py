"""Words for dates and times."""

from __future__ import annotations

from frugal_core.cache.guards.words import each_word

MONTHS = {
    name: str(number)
    for number, names in enumerate(
        (
            "january jan",
            "february feb febuary",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}
"""To their numbers."""

WEEKDAYS = {
    form: name
    for name, forms in {
        "Monday": "monday mondays mon",
        "Tuesday": "tuesday tuesdays tue tues",
        "Wednesday": "wednesday wednesdays wed wensday wednsday wendesday wedensday",
        "Thursday": "thursday thursdays thu thur thurs thrusday",
        "Friday": "friday fridays fri",
        "Saturday": "saturday saturdays sat saterday",
        "Sunday": "sunday sundays sun",
        "a weekday": "weekday weekdays",
        "a weekend": "weekend weekends",
    }.items()
    for form in forms.split()
}
"""To their names; with their usual misspellings."""

RELATIVE = {
    "today": "today",
    "todays": "today",
    "tomorrow": "tomorrow",
    "tommorow": "tomorrow",
    "tomorow": "tomorrow",
    "yesterday": "yesterday",
    "tonight": "tonight",
    "overmorrow": "the day after tomorrow",
}
"""Days seen from now."""

WHICH = {
    "this": "this",
    "current": "this",
    "last": "last",
    "previous": "last",
    "past": "last",
    "next": "next",
    "coming": "next",
    "upcoming": "next",
    "following": "next",
}
"""What may stand before a period."""

PERIODS = {
    name: name
    for name in each_word(
        "minute hour morning afternoon evening night day week weekend month quarter season semester term year decade century "
        "spring summer autumn winter"
    )
}
"""What it may stand before."""

SEASONS = {"spring": "spring", "summer": "summer", "autumn": "autumn", "fall": "autumn", "winter": "winter"}

DAY_PARTS = {
    "morning": "morning",
    "mornings": "morning",
    "afternoon": "afternoon",
    "afternoons": "afternoon",
    "evening": "evening",
    "evenings": "evening",
    "noon": "12:00",
    "midday": "12:00",
    "midnight": "0:00",
}

BEFORE_DATES = frozenset(
    each_word("in of on since until till by last next this early late mid from during before after for every and or to through")
)
"""After these, "march", "may" and "sun" are taken for dates."""

BEFORE_SEASONS = frozenset(each_word("in of since until by last next this early late mid during every"))
"""After these, "spring" and "fall" are taken for seasons."""

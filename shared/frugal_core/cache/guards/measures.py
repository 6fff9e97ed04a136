"""Units of measure and their spellings."""

from __future__ import annotations

from frugal_core.cache.guards.words import each_word

_UNITS = {
    "kilometre": "km kms kilometre kilometres kilometer kilometers",
    "metre": "m metre metres meter meters",
    "centimetre": "cm cms centimetre centimetres centimeter centimeters",
    "millimetre": "mm millimetre millimetres millimeter millimeters",
    "mile": "mile miles mi",
    "yard": "yard yards yd yds",
    "foot": "foot feet ft",
    "inch": "inch inches",
    "fathom": "fathom fathoms",
    "nautical mile": "nmi",
    "kilogram": "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes",
    "gram": "g gram grams gramme grammes gr",
    "milligram": "mg milligram milligrams",
    "microgram": "mcg µg μg ug microgram micrograms",
    "tonne": "tonne tonnes ton tons",
    "lb": "lb lbs",
    "pound": "pound pounds quid",
    "ounce": "oz ounce ounces",
    "stone": "stone stones",
    "litre": "l litre litres liter liters",
    "millilitre": "ml millilitre millilitres milliliter milliliters",
    "centilitre": "cl centilitre centilitres",
    "gallon": "gallon gallons gal",
    "pint": "pint pints",
    "quart": "quart quarts",
    "cup": "cup cups",
    "tablespoon": "tbsp tbs tablespoon tablespoons",
    "teaspoon": "tsp teaspoon teaspoons",
    "hectare": "ha hectare hectares",
    "acre": "acre acres",
    "millisecond": "ms millisecond milliseconds",
    "microsecond": "microsecond microseconds",
    "second": "s sec secs second seconds",
    "minute": "min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "night": "night nights",
    "week": "week weeks wk wks",
    "fortnight": "fortnight fortnights",
    "month": "month months",
    "year": "year years yr yrs",
    "decade": "decade decades",
    "century": "century centuries",
    "percent": "% percent pct percents",
    "degree": "° degree degrees",
    "celsius": "°c c celsius centigrade",
    "fahrenheit": "°f f fahrenheit",
    "kelvin": "kelvin",
    "mph": "mph",
    "km/h": "kmh kph kmph",
    "knot": "knot knots",
    "watt": "w watt watts",
    "kilowatt": "kw kilowatt kilowatts",
    "volt": "v volt volts",
    "amp": "amp amps ampere amperes",
    "hertz": "hz hertz",
    "kilohertz": "khz kilohertz",
    "megahertz": "mhz megahertz",
    "gigahertz": "ghz gigahertz",
    "bar": "bar bars",
    "psi": "psi",
    "calorie": "cal kcal calorie calories",
    "joule": "joule joules",
    "kilojoule": "kj kilojoule kilojoules",
    "bit": "bit bits",
    "byte": "byte bytes",
    "kilobyte": "kb kilobyte kilobytes",
    "megabyte": "mb megabyte megabytes",
    "gigabyte": "gb gigabyte gigabytes gig gigs",
    "terabyte": "tb terabyte terabytes",
    "kilobit per second": "kbps",
    "megabit per second": "mbps",
    "gigabit per second": "gbps",
    "pixel": "px pixel pixels",
    "dpi": "dpi",
    "mole": "mol",
    "millimole": "mmol",
    "point": "point points",
    "word": "word words",
    "character": "character characters",
    "page": "page pages",
    "line": "line lines",
    "dollar": "$ usd dollar dollars buck bucks",
    "cent": "cent cents ¢",
    "euro": "€ eur euro euros",
    "gbp": "£ gbp",
    "penny": "penny pence pennies",
    "yen": "¥ jpy yen",
    "rupee": "₹ inr rs rupee rupees",
    "yuan": "cny rmb yuan",
    "franc": "chf franc francs",
    "peso": "mxn peso pesos",
    "rouble": "rub rouble roubles ruble rubles",
    "krona": "sek krona kronor",
    "Canadian dollar": "cad",
    "Australian dollar": "aud",
    "bitcoin": "btc bitcoin bitcoins",
}
_PAIRS = {
    "percentage point": "percentage points",
    "basis point": "basis points",
    "celsius": "degrees celsius,degree celsius,degrees c,° celsius,degrees centigrade",
    "fahrenheit": "degrees fahrenheit,degree fahrenheit,degrees f,° fahrenheit",
    "per cent": "per cent",
    "km/h": "km h,kilometres per,kilometers per",
    "mph": "miles per",
    "light year": "light years,light year",
    "light minute": "light minutes,light minute",
    "dollar": "us dollars",
    "gbp": "british pounds,pounds sterling",
    "square metre": "square metres,square meters,square metre,square meter,sq m",
    "square foot": "square feet,square foot,sq ft,sq feet",
    "square kilometre": "square km,square kilometres,square kilometers,sq km",
    "square mile": "square miles,sq miles",
    "square yard": "square yards",
    "cubic metre": "cubic metres,cubic meters",
    "cubic foot": "cubic feet",
    "nautical mile": "nautical miles,nautical mile",
    "fluid ounce": "fl oz,fluid ounces",
}
UNITS = {spelling: unit for unit, spellings in _UNITS.items() for spelling in spellings.split()}
UNITS |= {spelling: unit for unit, spellings in _PAIRS.items() for spelling in spellings.split(",")}
UNITS["per cent"] = "percent"
"""From spellings to units."""

CURRENCY_SIGNS = {
    sign: UNITS[sign] for sign in each_word("$ usd € eur £ gbp ¥ jpy yen ₹ inr rs cny rmb chf mxn rub cad aud btc")
}
"""Currencies that may stand before the number."""

_ALIKE = {("gbp", "pound"), ("lb", "pound"), ("celsius", "degree"), ("degree", "fahrenheit")}


def same_unit(one: str, other: str) -> bool:
    """Whether two units may be the same: a pound is money or a weight.

    >>> same_unit("pound", "lb"), same_unit("gbp", "lb")
    (True, False)
    """
    return one == other or (min(one, other), max(one, other)) in _ALIKE

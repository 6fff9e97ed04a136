"""Words that negate."""

from __future__ import annotations

from frugal_core.cache.guards.words import each_word

NEGATORS = frozenset(
    each_word(
        "not no never without none nobody nothing nowhere neither nor unless except excluding lack lacks lacking lacked hardly "
        "barely scarcely fail fails failed failing failure unable impossible forbidden prohibited banned disallowed "
        "absent absence wrong wrongly false falsely"
    )
)

_BASES = {
    "un": """able acceptable accepted affected allowed answered approved armed attended attractive authorised authorized
        available
        avoidable aware balanced believable biased blocked bound breakable broken caught certain certified changed
        charged checked claimed clean clear comfortable common completed conditional confirmed conscious
        constitutional controlled cooked covered damaged dated decided defined delivered dependable desirable
        documented earned educated employed employment encrypted equal ethical even expected explained fair faithful
        familiar fed filtered finished fit forgettable fortunate friendly furnished grateful happy harmed healthy
        heard helpful identified important informed inhabited insured interested interesting invited known labeled
        labelled lawful licensed likely limited listed lucky married matched natural necessary needed noticed official
        opened ordered organized organised paid pasteurised pasteurized planned pleasant popular predictable prepared
        professional protected proved proven provoked published qualified read readable realistic reasonable
        recognised recognized recorded registered related reliable reported resolved restricted ripe safe salted
        satisfied saturated saved scheduled seen selected settled signed skilled solved sorted stable successful
        sugared suitable supported sure sweetened tested tidy touched trained treated true trusted truthful used
        useful usual vaccinated verified wanted washed weighted willing wise worn worthy written""",
    "in": """accessible accurate active adequate admissible advisable appropriate audible capable coherent compatible competent
        complete comprehensible conclusive consistent convenient correct curable decisive definite dependent direct discreet
        divisible edible effective efficient elastic eligible equitable exact expensive experienced finite flexible formal
        frequent hospitable humane offensive operable organic sane secure sensitive significant sincere sufficient tolerant
        tolerable valid variable visible voluntary vulnerable""",
    "im": "balance mature measurable mobile modest moral mutable partial passable patient perfect permeable polite practical "
    "precise probable proper pure",
    "il": "legal legally legible legitimate literate logical",
    "ir": "rational regular relevant replaceable resistible responsible reversible",
    "dis": """agree agrees agreed agreeing approve approves approved approving allow allows honest like likes liked loyal obey
        obeys obeyed prove proves proved proven respectful satisfied similar trust trusts trusted continuous""",
    "ab": "normal",
    "a": "typical symmetric symmetrical moral",
}
NEGATIVE = frozenset(
    prefix + base + ending
    for prefix, bases in _BASES.items()
    for base in bases.split()
    for ending in ("", "ly")
    if prefix + base not in ("important", "inform", "unlisted")
)
"""Words that say "not" by their beginning."""

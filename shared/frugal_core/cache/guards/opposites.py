"""Words that are each other's opposites."""

from __future__ import annotations

from frugal_core.cache.guards.negatives import NEGATIVE, NEGATORS
from frugal_core.cache.guards.words import each_word

_AXES = """
enable activate reactivate | disable deactivate inactivate
enabled activated | disabled deactivated
buy purchase | sell
rent lease | buy purchase own
buyer purchaser | seller vendor
increase raise boost gain grow rise more improve | decrease reduce lower shrink lose drop fall decline less fewer worsen
accelerate | slow decelerate
maximise maximize | minimise minimize
strengthen | weaken
rise | fall decline sink
bull bullish | bear bearish
maximum max maximal most | minimum min minimal least
lock | unlock
lockable locked | unlocked
before prior | after
pre | post
cheap inexpensive affordable | expensive dear costly pricey
open reopen | close shut
opening | closing
add insert append include attach | remove delete exclude detach subtract
high | low
highest | lowest
start begin launch commence | stop end finish halt quit terminate
beginning | end ending
install reinstall | uninstall deinstall
upload | download
tall | short
long | short brief
fast quick rapid | slow sluggish
compress zip | decompress uncompress unzip extract
better | worse
best | worst
good | bad
benefit advantage pro pros upside | risk drawback disadvantage con cons downside harm
accept approve admit agree | reject decline refuse deny disagree
show display reveal unhide | hide conceal
connect reconnect | disconnect
strong | weak
strength | weakness
up | down
internal inner inside interior | external outer outside exterior
indoor indoors | outdoor outdoors
encode | decode
encrypt | decrypt
push | pull
positive | negative
help heal | hurt injure
follow | unfollow
north northern | south southern
east eastern | west western
northeast northeastern | southwest southwestern
northwest northwestern | southeast southeastern
mute silence | unmute
win | lose
winner | loser
victory | defeat
rich wealthy | poor
into | out_of
overvalued | undervalued
overrated | underrated
overestimate | underestimate
overweight | underweight
overpaid | underpaid
overfit overfitting | underfit underfitting
ascending ascend | descending descend
allow permit let legalise legalize | forbid prohibit ban block disallow
allowed permitted | forbidden prohibited banned blocked
first initial | last final
freeze frozen | thaw defrost unfreeze
export | import
exporter | importer
employer | employee
landlord landlady lessor | tenant lessee renter
plaintiff claimant prosecutor | defendant accused
lend lender creditor | borrow borrower debtor
man male boy gentleman men | woman female girl lady women
husband | wife
father dad daddy | mother mum mom mummy mommy
son | daughter
brother | sister
uncle | aunt
nephew | niece
grandfather grandpa | grandmother grandma
king | queen
prince | princess
he him his | she her hers
bride | groom bridegroom
dry | oily wet moist
hot warm | cold cool chilly
heat | chill cool
old | new
oldest elder | newest
old | young
ancient | modern
arrival arrive | departure depart
promote promotion | demote demotion
love adore | hate dislike detest
easy simple | hard difficult tough
hard | soft
top upper | bottom lower
above over | below under beneath underneath
early | late
left | right
mount remount | unmount dismount
subscribe resubscribe | unsubscribe
join rejoin | leave
deposit | withdraw withdrawal
upstream | downstream
upgrade | downgrade
upvote | downvote
upstairs | downstairs
uphill | downhill
large big huge giant | small little tiny
wide broad | narrow
thick | thin
fat | thin slim skinny
heavy | light
dark | bright
deep | shallow
full | empty
fill | drain empty
loud noisy | quiet silent
clean | dirty
safe harmless | dangerous hazardous harmful
sweet | sour bitter savoury
fresh | stale rotten
alive living | dead
live | die
birth born | death died
healthy | sick ill unhealthy
success succeed | failure fail
pass | fail
profit gain | loss
income revenue earnings | expense expenditure
earn | spend
save | waste
asset | liability
debit | credit
inflation | deflation
surplus | deficit
bond | share
gross | net
public | private
public | secret
paid | free
online | offline
enter entrance entry | exit
arrive | leave
ascent | descent
attack | defend
offence offensive | defence defensive
friend ally | enemy foe
guilty | innocent
marry marriage wedding | divorce
hire recruit employ | fire dismiss
appear | disappear vanish
attract | repel
even | odd
major | minor
majority | minority
many | few
plural | singular
vertical | horizontal
row | column
parallel | perpendicular
concave | convex
local | remote
local | global
client | server
sender send | receiver recipient receive
read | write
reader | writer
ask | answer
input | output
encoder | decoder
serialize serialise | deserialize deserialise
push | pop
commit | revert rollback
merge | split
expand extend | collapse shorten
log_in | log_out
login logon signin | logout logoff signout
takeoff | landing
wake | sleep
daytime | nighttime
sunrise dawn | sunset dusk
summer | winter
asleep | awake
front | rear
forward forwards | backward backwards
clockwise | anticlockwise counterclockwise
odd | even
optimist optimistic | pessimist pessimistic
introvert introverted | extrovert extroverted
formal | informal casual
temporary | permanent
voluntary optional | mandatory compulsory obligatory required
common frequent | rare uncommon
always | never
frequently often | rarely seldom
everyone everybody all | nobody none
with | without
natural organic | artificial synthetic
raw | cooked
boiling boil | freezing
melt | solidify freeze
liquid | solid
acid acidic | alkaline alkali
acute | chronic
benign | malignant
systolic | diastolic
artery | vein
inhale | exhale
diarrhea diarrhoea | constipation
hypertension | hypotension
expand | contract
acquit | convict
demand | supply
wholesale | retail
domestic | international foreign
urban | rural
sea | land
teacher instructor | student pupil
doctor | patient
parent | child
master | slave
host | guest
predator | prey
cause | effect
symptom | treatment treat cure remedy prevention prevent diagnosis diagnose
cause | treatment treat cure remedy symptom
prevention | treatment cure
stalactite | stalagmite
longitude | latitude
sunrise | sunset
prefix | suffix
ancestor | descendant
predecessor | successor
load | unload
pack | unpack
tie | untie
wrap | unwrap
plug | unplug
block | unblock
pin | unpin
archive | unarchive restore
ban | unban
friend | unfriend
select | deselect unselect
check | uncheck
charge | discharge
assemble | disassemble
appear | disappear
obey | disobey
encourage | discourage
approve | disapprove
qualify | disqualify
infect | disinfect
invest investment | divest divestment
inflate | deflate
centralise centralize centralized centralised | decentralise decentralize decentralized decentralised
construct build create | destroy demolish
construction | destruction demolition
allocate | deallocate
register | deregister unregister
compile | decompile
compose | decompose
hydrate | dehydrate
humidify | dehumidify
motivate | demotivate
code | decode
couple | decouple
escalate | deescalate
increment | decrement
ingress | egress
inbound incoming | outbound outgoing
inflow | outflow
immigrate immigration immigrant | emigrate emigration emigrant
explicit | implicit
inclusive | exclusive
inductive | deductive
concrete | abstract
static | dynamic
mutable | immutable
synchronous sync | asynchronous async
symmetric | asymmetric
serial | parallel
compiled | interpreted
stack | heap
mitosis | meiosis
anode | cathode
proton | electron
analog analogue | digital
ac | dc
vowel | consonant
active | passive
subjective | objective
theory theoretical | practice practical
quality | quantity
tragedy | comedy
fiction fictional | nonfiction
hero | villain
heaven | hell
god | devil
peace | war
ceasefire | offensive
democracy | dictatorship
victim | perpetrator
freedom | slavery
smart intelligent clever | stupid dumb
brave | cowardly
generous | stingy
polite | rude
beautiful pretty attractive | ugly
happy glad | sad unhappy
calm | angry
lazy | diligent hardworking
patient | impatient
humble modest | arrogant
proud | ashamed
tight | loose
tighten | loosen
sharp | blunt dull
smooth | rough
straight | curved crooked
near | far
nearest closest | farthest furthest
distant | close
present | absent
presence | absence
visible | invisible
possible | impossible
legal | illegal
moral | immoral
uppercase | lowercase
capital | lowercase
landscape | portrait
vegetarian vegan | carnivore carnivorous
herbivore herbivorous | carnivore carnivorous
cat | dog
democrat | republican
conservative | liberal
capitalism capitalist | communism communist socialism socialist
"""

_ENDINGS = ("s", "es", "ed", "ing", "er", "est", "ly", "ers")


def _forms(word: str) -> set[str]:
    """A word and its inflected forms, also some that do not exist."""
    forms = {word} | {word + ending for ending in _ENDINGS} | {word + "d", word + "r", word + "st"}
    if word.endswith("e"):
        forms |= {word[:-1] + ending for ending in ("ing", "ed", "er", "est")}
    if word.endswith("y"):
        forms |= {word[:-1] + ending for ending in ("ies", "ied", "ier", "iest", "ily")}
    if len(word) > 2 and word[-1] not in "aeiouywx" and word[-2] in "aeiou" and (len(word) < 6 or word[-1] == "t"):
        forms |= {word + word[-1] + ending for ending in ("ing", "ed", "er", "est")}
    return forms


_IRREGULAR = {
    "sell": "sold",
    "buy": "bought",
    "begin": "began begun",
    "win": "won",
    "lose": "lost losing",
    "rise": "rose risen",
    "grow": "grew grown",
    "fall": "fell fallen",
    "freeze": "froze frozen freezing",
    "leave": "left leaving",
    "lend": "lent",
    "send": "sent",
    "spend": "spent",
    "sleep": "slept",
    "wake": "woke woken",
    "hide": "hid hidden",
    "forbid": "forbade forbidden",
    "withdraw": "withdrew withdrawn",
    "shrink": "shrank shrunk",
    "write": "wrote written",
    "hurt": "hurting",
    "build": "built",
    "shut": "shutting",
    "child": "children",
    "woman": "women",
    "man": "men",
    "wife": "wives",
    "die": "dying died",
    "sink": "sank sunk",
    "lead": "led",
    "slow": "slowed",
    "far": "farther further",
    "quit": "quitting",
}
_BARE = frozenset(
    each_word(
        "he him his she her hers on off up down into out_of with without pre post men women ac dc more most less least "
        "all none min max con pro over under first last late left right even like lead lower upper patient light back "
        "long let few many always never best worst better worse new far ill own live close die born dead god sea land "
        "share free present "
    )
)
"""Words whose endings would make other words of them: only `_IRREGULAR` inflects these."""
_COMPARED = {
    "long": "longer longest",
    "late": "later latest",
    "light": "lighter lightest",
    "new": "newer newest",
    "few": "fewer",
    "close": "closed closes closing",
    "die": "dies",
    "live": "lives lived living",
    "lower": "lowers lowered lowering",
    "far": "farther farthest further furthest",
    "like": "likes liked",
}


def _axes() -> dict[str, tuple[tuple[int, int], ...]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for axis, line in enumerate(_AXES.strip().split("\n")):
        for sign, side in enumerate(line.split(" | ")):
            for word in side.split():
                if word in NEGATORS or word in NEGATIVE:
                    continue  # what "not" may say as well is for the guard of negations
                forms = {word} if word in _BARE or "_" in word else _forms(word)
                forms |= set(_IRREGULAR.get(word, "").split()) | set(_COMPARED.get(word, "").split())
                for form in forms:
                    if (axis, sign) not in found.setdefault(form, []):
                        found[form].append((axis, sign))
    return {word: tuple(places) for word, places in found.items()}


AXES = _axes()
"""From a word, in any of its forms, to the axes it is on, and to which end of them. Phrases are joined by `_`."""

OPPOSITE_PREFIXES = tuple(
    (pair.split("/")[0], pair.split("/")[1])
    for pair in each_word(
        "hypo/hyper pre/post over/under inter/intra macro/micro mono/poly endo/exo homo/hetero sub/super anti/pro up/down "
        "in/out intro/extro ab/ad eu/dys"
    )
)
"""Beginnings that make opposites of the same rest, if that is long enough."""

"""Words that name the same."""

from __future__ import annotations

from frugal_core.cache.guards.words import stem

_GROUPS = """
film movie picture flick
flat apartment
sofa couch settee
shop store
doctor physician
car automobile vehicle
mobile cell cellphone phone telephone smartphone
picture image photo photograph pic
kid child baby toddler youngster
holiday vacation
tap faucet
lift elevator
petrol gas gasoline fuel
lorry truck
autumn fall
biscuit cookie
tyre tire
rubbish trash garbage waste
luggage baggage bag suitcase
football soccer
bike bicycle cycle
plane airplane aeroplane flight aircraft
train railway rail
tv television telly
fridge refrigerator
laptop notebook computer pc
website webpage site page web blog
program programme software app application
code coding programming program
bug error exception fault glitch
password passcode pin
email mail e-mail
fee charge cost price fare
salary wage pay income earnings
firm company business corporation organisation organization enterprise startup
job career position employment profession occupation work
boss manager supervisor
colleague coworker
lawyer attorney solicitor advocate
policeman cop police officer
illness disease sickness disorder condition
flu influenza
cold cough
medicine medication drug remedy cure treatment
tummy belly stomach abdomen
vaccine vaccination jab shot
pill tablet
hospital clinic
surgery operation
university college
school college
exam test examination paper
student pupil learner
teacher instructor tutor professor
book novel
song track
author writer
country nation state
city town
street road
house home
room bedroom
garden yard
bathroom toilet loo restroom washroom
trousers pants
jumper sweater pullover
shoe footwear
maths math mathematics
money cash fund
loan credit
invoice bill receipt
tax taxation
rent lease
parcel package delivery shipment order
girlfriend gf
boyfriend bf guy
husband spouse partner
wife spouse partner
mum mom mother
dad father
grandma grandmother
friend buddy mate pal
girl woman lady female
boy man guy male
stone rock
sea ocean
earth world planet
god lord
war conflict
nazi german
hacker hack
photo selfie
postgres postgresql
javascript js
python py
notification alert
folder directory
wifi wireless internet network
internet web net
login log signin
smartphone android
usa american states united
uk british england english
india indian
france french
germany german
spain spanish
japan japanese
china chinese
italy italian
russia russian
europe european
canada canadian
australia australian
pakistan pakistani
america american usa
money currency rupee
facebook fb
instagram insta
whatsapp wa
youtube yt
quora site
trump donald
clinton hillary
hillary clinton
modi narendra
obama barack
aspirin acetylsalicylic
paracetamol acetaminophen tylenol
adrenaline epinephrine
sugar glucose
salt sodium
sickness nausea
pimple acne zit
weight fat
belly fat
height tall
iq intelligence
movie film
series show season
joke humor
prime pm
minister pm
engineering engineer
study studying
gym workout exercise
muscle body
interview question
marriage wedding marry
breakup separation
sex intercourse
dog puppy
cat kitten
ghost spirit
alien extraterrestrial
universe space cosmos
science scientific
physics physic
cellphone mobile
"""

GROUPS: dict[str, frozenset[int]] = {}
"""From the stem of a word to its groups."""
for _number, _line in enumerate(_GROUPS.strip().split("\n")):
    for _word in _line.split():
        GROUPS[stem(_word)] = GROUPS.get(stem(_word), frozenset()) | {_number}

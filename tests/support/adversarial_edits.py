"""Small edits to questions: some change what is asked, some do not. All sentences were written for these tests.

`[a|b]` is where the two questions of a pair differ; with more alternatives, each is paired with the first. A line may have one
such place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ADVERSARIAL = {
    "number": """
        How do I cook rice for [4|6] people?
        My router restarts every [10|20] minutes, what can I do?
        Is a [5|15] year old allowed to fly alone?
        Give me [three|five|seven] reasons to learn Haskell.
        What is [12|13] times 14?
        What is the penalty for driving [20|40] over the limit?
        Does Python [3.9|3.11] support pattern matching?
        How do I migrate from version [2|3] to version 5?
        What is the dose of amoxicillin for a child of [9|19] kilos?
        What does error [0x80070005|0x80070057] mean?
        Can I pay in [6|12] instalments?
        Where is my order number [48213|48231]?
        Is a blood pressure of [120|150] over 80 normal?
        How much tax do I pay on [50,000|500,000] euros of income?
        What is [7|9] factorial?
        Name the [2|4] largest cities of Brazil.
        How many grams are [two|three] cups of flour?
        Explain the [first|second|fourth] law of thermodynamics.
        What is the [3rd|5th] amendment about?
        Who was the [16th|26th] president of the United States?
        How do I get from platform [9|19] to the exit?
        Is [1.5|2.5] litres of water a day enough?
        What does section [230|320] say?
        How long does it take to save [ten|twenty] thousand dollars?
        What is [a third|a quarter] of 360?
        Which number comes after [one hundred and nine|one hundred and ninety]?
        I slept [4|7] hours, is that enough?
        What happens after [90|30] days without payment?
        How do I split a bill of 84 between [3|4] friends?
        Can I bring [2|3] suitcases on a domestic flight?
        What are the side effects of [20|40|80] mg of atorvastatin?
        Show the top [5|10|50] customers by revenue.
        How do I draw a polygon with [six|eight] corners?
        What is the meaning of chapter [4|14] of the book?
        Is [8|11] the age when children lose their teeth?
        How do I bake a cake with [one egg|four eggs]?
        Divide [96|69] by 3.
        Is 1 in [200|2000] a high risk?
        My flight was delayed by [2|5] hours, what am I owed?
        How many days are [36|72] hours?
        Is a [2.5%|3.5%] mortgage a good offer?
        How do I round to [2|3] decimals in Excel?
        Does port [443|445] need to be open?
        I have [twelve|twenty] guests and one oven, what should I cook?
        Does a team of [11|9] need a captain?
        What can I buy for [£20|£200]?
        Are [15k|50k] steps a day too many?
        Write an essay of [500|1500] words on frogs.
        What is the [10th|100th] digit of pi?
        Is it normal to wake [once|twice] a night?
        How do I [double|triple] the recipe?
        Which vaccines are given at [2|4|12] months?
        What does a [single|double] room cost?
        Find the roots of x squared minus [4|9].
        Is a deposit of [5|10] percent enough for a flat?
        How do I write [1984|1948] in Roman numerals?
        What does line [17|71] of the log mean?
        Is [half|a third] of my salary too much for rent?
        What is the boiling point at [1000|3000] metres?
        Who won game [5|6] of the final?
        What is 2 to the power of [8|10]?
        Summarise this in [one sentence|two sentences].
        Is room [101|110] free tonight?
        How long may I stay with a [30|90] day visa?
        Which bus replaces line [4|14]?
        How do I make [2|12] servings of pesto?
    """,
    "unit": """
        How far is 10 [km|miles] on foot?
        Is 3 [mg|ml] of the medicine safe for a baby?
        How long do I bake it at 350 [F|C]?
        Is 200 [grams|ounces] of pasta enough for two?
        My file is 4 [GB|MB], can I email it?
        What is 100 [USD|EUR|GBP] in yen?
        How much is 60 [pounds|kilos] of cement?
        Is 70 [mph|kmh] allowed on this road?
        Sleep for 5 [seconds|minutes] in bash.
        What is the fee for a delay of 2 [hours|days]?
        Is 2 [litres|gallons] of fuel enough for the mower?
        How many people fit in 30 square [feet|metres]?
        Add 2 [teaspoons|tablespoons] of salt to the dough?
        How tall is 6 [feet|metres] in inches?
        Is 1000 [calories|kilojoules] a day too little?
        What does 500 [watts|volts] do to a person?
        I lost 8 [kg|pounds] in a month, is that healthy?
        Is [$500|€500|£500] a fair price for this sofa?
        How long is a warranty of 24 [months|weeks]?
        Is an interest rate of 5 [percent|basis points] high?
        What is the resolution in 300 [dpi|pixels]?
        A pool of 50 [yards|metres] is how many laps for a mile?
        Convert 20 [Celsius|Kelvin] to Fahrenheit.
        Is 16 [gigabytes|terabytes] of memory normal?
        Is it safe to take 500 [mg|mcg] of vitamin B12?
        How much does 1 [tonne|ounce] of gold cost?
        What is the pressure at 10 [feet|fathoms]?
        How heavy is 1 [litre|gallon] of milk?
        How fast is 20 [knots|mph]?
        How long do bananas last: 5 [days|weeks]?
        Is 25 [degrees Celsius|degrees Fahrenheit] warm?
        What is the rent for 80 [square metres|square feet]?
        What does 3 [cups|pints] of stock weigh?
        Is 2 [bar|psi] right for a bicycle tyre?
        How long is 12 [inches|centimetres] on a ruler?
        The parcel is 90 [cm|mm] long, does it fit?
        Is 440 [Hz|kHz] audible?
        How much land is 15 [acres|hectares]?
        Is 30 [dollars|cents] a fair tip?
        How long should I boil it: 8 [minutes|hours]?
        Can a 40 [amp|watt] fuse carry this load?
        Is a salary of 3000 [pesos|dollars] good in Mexico?
        Does a video of 2 [minutes|hours] fit on one disc?
        How old is a dog of 14 [years|months]?
        What is 9 [stone|kilograms] in pounds?
        My connection is 50 [Mbps|Kbps], can I stream?
        Is 1 [rupee|euro] enough for a bus ticket?
        Will 3 [inches|feet] of snow close the school?
        Retry after 100 [ms|s] in Go.
        Is a draft of 2000 [words|characters] too long?
        Is 10 [nights|weeks] in Bali too long?
        Is 300 [rupees|yen] enough for lunch?
        How far is 2 light [years|minutes]?
        What size is a 27 [inch|cm] monitor?
        Do I need 2 [kg|g] of yeast?
        Is 12 [points|percent] a big lead?
        A walk of 40 [minutes|km] a day: too much?
        Is an app of 700 [kB|MB] too large?
        Pay [$9|₹9] per item?
        What happens when the fridge is at 10 [°C|°F]?
    """,
    "date": """
        What happened on [3 March 1985|3 May 1985]?
        Who won the election in [2016|2020]?
        Is the library open on [Saturday|Sunday]?
        What is the weather in Oslo [today|tomorrow|yesterday]?
        Show my spending for [last|this|next] month.
        When is the deadline: [Monday|Friday]?
        What were the sales in [Q1|Q4]?
        Book the flight for [12 June|21 June].
        Did it rain on [2024-03-03|2024-04-03]?
        What was the price of gold in [1990|1999]?
        Are banks open on [Good Friday|Easter Monday]?
        Can I move my appointment from [9am|11am] to noon?
        What time is it in Tokyo when it is [5pm|6pm] here?
        Which songs were hits in the [60s|70s]?
        Who ruled Spain in the [15th|18th] century?
        What is on television [tonight|tomorrow night]?
        Which vegetables are in season in [March|October]?
        Which taxes changed [this|last] year?
        Remind me to pay the rent on the [1st|15th] of May.
        List commits since [2022-12-01|2022-12-11].
        How many hotels were booked in [July|August]?
        Is there school on [December 24th|December 26th]?
        What is the history of Rome until [44 BC|44 AD]?
        Who was born on [July 4, 1776|July 14, 1776]?
        Which movies come out [this|next] week?
        Does the pool close at [20:00|22:00]?
        How was the harvest in [spring|autumn]?
        Is the [8:15|8:50] train on time?
        What is my balance as of [1 January|1 February]?
        When does [winter|summer] begin in Australia?
        Did the company grow in [2019|2021]?
        What did they decide at the meeting on [Tuesday|Wednesday]?
        Are there concerts in [April|June] in Berlin?
        Cancel my booking for [next Monday|next Thursday].
        What were the headlines [yesterday|this morning]?
        Does the offer end on [30 September|30 November]?
        How many births were there in [1950|2005]?
        Was there a storm on [Feb 2|Feb 12]?
        Which festivals take place in [late May|early May]?
        Is the shop open [on weekdays|at weekends]?
        Which laws apply since [May 2018|May 2013]?
        When does the [morning|evening] shift begin?
        What did the dollar cost in euros in [mid-2014|mid-2004]?
        My visa expires on [03/04/2025|03/09/2025], what now?
        Are you open on [New Year's Day|Boxing Day]?
        What should I plant in [early March|late March]?
        Is breakfast served at [7:30|10:30]?
        How did people travel in the [1820s|1920s]?
        Which star signs belong to [January|November]?
        What are my meetings for [Thursday|Friday] afternoon?
        What was inflation in [2008|2022]?
        How do I file taxes for [2022|2023]?
        Which events happened in [1066|1166]?
        Which homework is due [tomorrow|next week]?
        When will the [2024|2028] games be held?
        Can I see the eclipse of [August 12|August 21]?
        What is the schedule for [Sat|Sun]?
        Show errors from the last [hour|week].
        Is it a public holiday on [May 1|May 8] in France?
        Which model did Ford sell in [1928|1932]?
        Is the clinic open [today|on Sunday]?
    """,
    "negation": """
        Which foods [should|should not] be eaten raw?
        Why [does|doesn't] my code compile?
        Is it [safe|not safe] to drink the tap water?
        Which countries [require|do not require] a visa?
        What happens if I [pay|don't pay] my rent?
        Is the contract [valid|invalid]?
        Is this behaviour [legal|illegal] in Texas?
        Why is the server [available|unavailable]?
        Can I travel [with|without] insurance?
        Show users who [have|have not] logged in.
        Which planets [have|have no] moons?
        Is my deposit [refundable|non-refundable]?
        Why [can|can't] I log in?
        What if my landlord [agrees|disagrees]?
        How do I select rows where the name is [null|not null]?
        Which birds [fly|don't fly]?
        Which drugs are [|not ]sold over the counter?
        Was the defendant [guilty|not guilty]?
        Which of my files are [used|unused]?
        What should I [|never ]say at a job interview?
        Is it [possible|impossible] to change my name?
        Why was my claim [approved|not approved]?
        Which numbers are [|not ]prime?
        Which symptoms are [|not ]normal after surgery?
        When is a party [responsible|not responsible] for damage?
        Who [is|is not] allowed to donate blood?
        Why [do|don't] cats like water?
        What if the list is [empty|not empty]?
        How do I cook beans [with|without] soaking them?
        Which employees [are|aren't] entitled to leave?
        Should I [|not ]take aspirin before running?
        What if I [am|am not] at home for the delivery?
        Is the account [active|inactive]?
        Which parts of the house are [|un]insured?
        How do I write a [|non-]greedy regular expression?
        What if I [can|cannot] come to the hearing?
        Which rooms [have|lack] a view?
        Are there mushrooms that are [|never ]poisonous?
        Why [would|wouldn't] a bank lend to me?
        Is the data [complete|incomplete]?
        Which cells are [|not ]highlighted?
        Which meals contain [|no ]gluten?
        How can I tell if the eggs are [|not ]fresh?
        Which airlines [allow|don't allow] dogs on board?
        What happens if you [do|don't] file taxes?
        Is the algorithm [stable|unstable]?
        When [will|won't] the guarantee apply?
        Is the tenant [liable|not liable] for the lift?
        What was [|un]usual about the case?
        Which tasks are [|not ]finished?
        Why is the sea [|not ]blue at night?
        Can minors open an account [with|without] consent?
        What if the patient [is|isn't] conscious?
        Which people [should|shouldn't] take statins?
        Is it [appropriate|inappropriate] to tip in Japan?
        Why did the test [fail|not fail]?
        Which of them [did|did not] vote?
        Are pets [|not ]permitted in the flat?
        Is the key [correct|incorrect]?
        When is silence [|not ]consent?
        Can I [|not ]be fired during sick leave?
        Which variables [are|are never] used?
        Was the payment [successful|unsuccessful]?
        What does it mean if the test is [|not ]positive?
        Are the results [reliable|unreliable]?
        Who came to the party [with|without] a gift?
    """,
    "antonym": """
        How do I [enable|disable] cookies?
        How do I turn [on|off] notifications?
        Should I [buy|sell] shares now?
        What are the [pros|cons] of working from home?
        How do I [increase|decrease] the font size?
        What is the [maximum|minimum] age for the tour?
        How do I [lock|unlock] my phone?
        Do I take it [before|after] meals?
        What is the [cheapest|most expensive] city in Europe?
        How can I [gain|lose] weight fast?
        How do I [open|close] a bank account?
        Which is the [largest|smallest] desert?
        How do I [add|remove] a user from the group?
        What is the [highest|lowest] point in Africa?
        How do I [start|stop] the server?
        How do I [log in to|log out of] the portal?
        What causes [high|low] blood pressure?
        How do I [install|uninstall] the driver?
        How do I [upload|download] a file by FTP?
        Who is the [tallest|shortest] player of the team?
        Which animals are the [fastest|slowest]?
        How do I [compress|decompress] a folder?
        Is it [better|worse] to drink coffee at night?
        How do I [raise|lower] an invoice amount?
        What are the [benefits|risks] of fasting?
        How do I [accept|reject] the cookies?
        How do I [show|hide] the side bar?
        How do I [connect|disconnect] the printer?
        Does salt [raise|reduce] the boiling point?
        Are there [more|fewer] men than women in India?
        What are the [strengths|weaknesses] of the study?
        Is the market [up|down] today?
        What is the rule for [internal|external] links?
        Does the moon cause [high|low] tide?
        How do I [encode|decode] base64?
        How do I [push|pull] a branch?
        What is a [positive|negative] charge?
        When did the war [begin|end]?
        Does it [help|hurt] to stretch first?
        How do I [follow|unfollow] somebody?
        What is the [northern|southern] border of Chad?
        How do I [mute|unmute] the microphone?
        Which side [won|lost] the battle of Cannae?
        What is the [richest|poorest] country in Asia?
        How do I get [into|out of] a contract?
        Is this stock [overvalued|undervalued]?
        How do I sort in [ascending|descending] order?
        What are [allowed|forbidden] items in hand luggage?
        What is the [first|last] step of the process?
        How do I [activate|deactivate] my card?
        How do I [freeze|thaw] minced meat?
        Is a [strong|weak] dollar good for exports?
        Does exercise [strengthen|weaken] the heart?
        Is there a tax on [exports|imports]?
        What do [employers|employees] pay into the fund?
        What are the rights of the [landlord|tenant]?
        Is the [plaintiff|defendant] heard first?
        How do I [borrow|lend] money safely?
        Are these shoes for [men|women]?
        How do I treat [dry|oily] skin?
        What are the symptoms of [hypothyroidism|hyperthyroidism]?
        How do I [zoom in|zoom out] on a map?
        Why is my battery [charging|discharging]?
        What should I wear in [hot|cold] weather?
        Is the film [longer|shorter] than the book?
        What is the [oldest|newest] bridge in Prague?
        What is [above|below] the fold?
        When do [arrivals|departures] begin?
        How do I [promote|demote] a moderator?
        How do I [allow|block] a caller?
        Why does my dog [love|hate] the vet?
        Which questions are [easy|hard]?
        Should the patient drink [more|less]?
        What is the [top|bottom] speed of the train?
        Is it [cheaper|dearer] to fly on Sunday?
    """,
    "entity": """
        What is the capital of [France|Spain|Italy]?
        what is the capital of [austria|australia]?
        What language do they speak in [Iran|Iraq]?
        How do I reverse a string in [Java|JavaScript]?
        How do I write a loop in [C|C++|C#]?
        Who wrote [Emma|Persuasion]?
        Where was [Mozart|Beethoven] born?
        How old is [Lionel Messi|Cristiano Ronaldo]?
        Can I take [ibuprofen|aspirin] while breastfeeding?
        How do I install [numpy|scipy] with pip?
        What is the time in [London|Lisbon]?
        How do I cancel [Hulu|Disney Plus]?
        who painted the [mona lisa|night watch]?
        What does [Apple|Samsung] charge for repairs?
        Which river flows through [Cairo|Baghdad]?
        How do I deploy to [Azure|AWS]?
        How do I cook [salmon|lobster]?
        Is [Uber|Lyft] available in Denver?
        What is the treatment for [malaria|cholera]?
        What are the ingredients of [hummus|guacamole]?
        When was [Microsoft|Oracle] founded?
        Is [Zurich|Geneva] expensive?
        How do I set up [Redis|Memcached]?
        What did [Plato|Aristotle] say about virtue?
        What is the visa policy of [Kenya|Tanzania]?
        Who is the president of [Mexico|Colombia]?
        How far is [Mars|Venus] from the sun?
        How do I grow [tomatoes|cucumbers] on a balcony?
        What is the melting point of [iron|copper]?
        How do I play [chess|poker]?
        What is the law on [cannabis|tobacco] in Canada?
        Which vitamins are in [spinach|broccoli]?
        How do I upgrade [Django|Flask]?
        what's the population of [tokyo|seoul]?
        Can dogs eat [grapes|apples]?
        How do I fly to [Sydney|Melbourne]?
        How do I open an account with [Barclays|HSBC]?
        How do I file for [divorce|bankruptcy] in Ohio?
        Do I need a visa for [Georgia|Armenia]?
        how long do [hamsters|rabbits] live?
        What is the role of the [kidney|liver]?
        How do I say hello in [Danish|Dutch]?
        Who won the [Nobel|Pulitzer] prize last year?
        How much does a [plumber|roofer] cost?
        How do I play [guitar|drums]?
        What is the nearest [dentist|barber]?
        Who invented the [telephone|telegraph]?
        When was the [Eiffel Tower|Brooklyn Bridge] built?
        What is the history of [judo|karate]?
        How do I format a [JSON|YAML] file?
        How does [Bitcoin|Ethereum] work?
        When does [Lidl|Aldi] open?
        Which [Beatles|Queen] songs are about love?
        Is [Dr. Smith|Dr. Jones] in on Monday?
        How do I remove [coffee|wine] stains?
        What is the best book by [Tolstoy|Dostoevsky]?
        Tell me the plot of [Alien|Aliens].
        What does [HDMI|USB] stand for?
        Who founded [Rome|Carthage]?
        Is [Pluto|Neptune] a planet?
        Should I use [React|Angular]?
        What is the tax rate in [Nevada|Oregon]?
        How do I get a refund from [Ryanair|Lufthansa]?
        How do I change the [password|email] of my account?
        What is a [noun|verb]?
        What is the anthem of [Belgium|Bulgaria]?
        How do I train a [puppy|parrot]?
        Does [gold|silver] rust?
        How deep is the [Pacific|Atlantic]?
        What is the difference between an alligator and a [crocodile|caiman]?
        How do I parse [CSV|XML] in Rust?
        Who directed [Jaws|Psycho]?
        What are symptoms of [diabetes|asthma]?
        How do I fix my [washing machine|dishwasher]?
        Where can I see [pandas|penguins]?
        How do I treat a [burn|bruise]?
        What is the dress code for a [wedding|funeral]?
        How do I cook [quinoa|couscous]?
        Is [Budapest|Bucharest] on the Danube?
        what's the national dish of [wales|scotland]?
        How do I uninstall [Chrome|Opera] on a Mac?
        How do I get to [Heathrow|Gatwick] by bus?
        Who plays the villain in [Dracula|Frankenstein]?
        How long is the [Danube|Rhine]?
        Is [prednisone|prednisolone] safe for cats?
        When was [Galileo|Kepler] born?
        How do I mock a class in [pytest|unittest]?
        What are the fees at [Yale|Harvard]?
        How do I care for an [orchid|ivy]?
        What is the motto of [Utah|Idaho]?
        Which museum owns [Guernica|Sunflowers]?
        Where do [falcons|pelicans] nest?
        Can I bring [knives|candles] on a plane?
        What does [Article 5 of NATO|Article 5 of the UN] say?
        How do I book a table at [Nobu|Noma]?
        Does [Delta|Emirates] fly to Cape Town?
        what is the plot of [othello|king lear]?
        How do I whisk [cream|mayonnaise] by hand?
        How do I join the [army|navy]?
        What is a [sonnet|limerick]?
        How strong is [steel|bamboo]?
        Can [toddlers|pregnant women] eat sushi?
        What is the hardness of [quartz|topaz]?
    """,
    "quoted": """
        What does "[affect|effect]" mean?
        Translate "[good evening|see you tomorrow]" into German.
        Who said "[to be or not to be|all the world's a stage]"?
        Fix the error "[index out of range|key not found]" in Python.
        What is the origin of the word '[sandwich|salad]'?
        How do I pronounce "[colonel|kernel]"?
        How do I find files named "[main.py|setup.py]"?
        What does the menu item “[Export|Print]” do?
        Explain the idiom "[break a leg|spill the beans]".
        Is "[who|whom]" correct in this place?
        What does `git [fetch|merge]` do?
        Spell "[necessary|embarrass]" for me.
        What is a synonym for "[happy|angry]"?
        What is the French for "[butterfly|beetle]"?
        Run `SELECT [name|age] FROM users` and explain it.
        What does «[bonjour|bonsoir]» mean?
        Replace "[foo|bar]" by "baz" in every file.
        Is "[their|there]" right in this sentence?
        What is the plural of '[mouse|moose]'?
        Who sang "[Yesterday|Imagine]"?
        Why do I get "[404 Not Found|500 Internal Server Error]"?
        Use "[however|therefore]" in a sentence.
        What rhymes with "[month|purple]"?
        Which film has the line "[I'll be back|Here's looking at you]"?
        Show me the regex for "[abc|abd]".
        Delete the branch "[feature/login|feature/logout]".
        What does the note "[handle with care|this side up]" mean?
        Open the page "[/home|/about]".
        What is the keyboard shortcut for "[Copy|Paste]"?
        How many letters are in "[banana|cabana]"?
        What is the opposite of "[brave|proud]"?
        Give me the etymology of "[window|widow]".
        Who wrote "[The Raven|The Tyger]"?
        Set the title to "[Draft|Final]".
        What does "[LGTM|IMHO]" stand for?
        What does the sign "[no entry|no parking]" look like?
        Is "[data is|data are]" good English?
        How do I say "[thank you|excuse me]" in Thai?
        What is meant by "[carpe diem|memento mori]"?
        Print "[hello|goodbye]" three times.
        What does the flag `[-r|-f]` do in rm?
        Which key is "[Ctrl|Alt]" on a Mac?
        How old is the song "[Hallelujah|Respect]"?
        Tag the ticket with "[bug|feature]".
        Is "[color|colour]" the British spelling?
        Sort by "[price|date]" in SQL.
        What does "[bark|bite]" mean in Swedish?
        Who used the pen name "[George Eliot|George Sand]"?
        What is the meaning of the tarot card "[The Fool|The Tower]"?
        Where is the button "[Submit|Cancel]"?
    """,
    "reversal": """
        How do I get from [Paris to London|London to Paris]?
        Convert [miles to kilometres|kilometres to miles].
        How do I convert [USD to EUR|EUR to USD]?
        Is [Python faster than Ruby|Ruby faster than Python]?
        Is [butter healthier than margarine|margarine healthier than butter]?
        Translate from [French to English|English to French].
        How do I convert [a string to an integer|an integer to a string]?
        Did [Rome conquer Greece|Greece conquer Rome]?
        [Does the employer owe the employee|Does the employee owe the employer] anything?
        Can [a human infect a dog|a dog infect a human] with flu?
        How many [inches are in a foot|feet are in an inch]?
        Move files from [my Mac to my PC|my PC to my Mac].
        Is [iron heavier than lead|lead heavier than iron]?
        Why did [Spain attack England|England attack Spain]?
        Should I [shower before I shave|shave before I shower]?
        Does [stress cause insomnia|insomnia cause stress]?
        Is [Texas bigger than Alaska|Alaska bigger than Texas]?
        How do I transfer money from [PayPal to my bank|my bank to PayPal]?
        Can [a cat eat a snake|a snake eat a cat]?
        What is the flight time from [New York to Dubai|Dubai to New York]?
        Convert [Celsius to Fahrenheit|Fahrenheit to Celsius].
        How do I switch from [Android to iPhone|iPhone to Android]?
        Can [the buyer sue the seller|the seller sue the buyer]?
        Is [tea older than coffee|coffee older than tea]?
        Why is [Venus hotter than Mercury|Mercury hotter than Venus]?
        How do I cast [a float to an int|an int to a float] in C?
        How many [cups are in a litre|litres are in a cup]?
        Who won when [Ali fought Frazier|Frazier fought Ali]?
        Did [the car hit the bus|the bus hit the car]?
        Subtract [5 from 12|12 from 5].
        Divide [20 by 4|4 by 20].
        What is [10 minus 7|7 minus 10]?
        How do I migrate from [MySQL to Postgres|Postgres to MySQL]?
        How do I render [Markdown as HTML|HTML as Markdown]?
        Is [the heart above the liver|the liver above the heart]?
        How do I drive from [Berlin to Hamburg|Hamburg to Berlin] without tolls?
        Does [the teacher grade the student|the student grade the teacher]?
        Is [a lawyer better paid than a doctor|a doctor better paid than a lawyer]?
        How do I import [a CSV file into Excel|an Excel file into CSV]?
        What is the exchange rate from [pounds to dollars|dollars to pounds]?
        Did [Apple sue Samsung|Samsung sue Apple]?
        How do I upgrade from [Windows 10 to Windows 11|Windows 11 to Windows 10]?
        Is [gold more expensive than platinum|platinum more expensive than gold]?
        What percentage of [40 is 8|8 is 40]?
        How do I convert [JSON to XML|XML to JSON] in Go?
        Is [milk denser than water|water denser than milk]?
        Do I [add acid to water|add water to acid]?
        Does [the judge ask the jury|the jury ask the judge]?
        Do [dogs chase cats|cats chase dogs] more often?
        How do I ship a parcel from [Canada to Japan|Japan to Canada]?
    """,
}
"""By category: questions that look alike and have different answers."""

HARMLESS = {
    "case": """
        [What is the capital of France?|what is the capital of france?|WHAT IS THE CAPITAL OF FRANCE?]
        [How do I reverse a list in Python?|how do i reverse a list in python?]
        [Who was Marie Curie?|who was marie curie?|Who Was Marie Curie?]
        [is there a direct flight from paris to rome|Is there a direct flight from Paris to Rome]
        [How do I connect my PS5 to WiFi?|how do i connect my ps5 to wifi?]
        [Which vitamins does Salmon contain?|which vitamins does salmon contain?]
        [How old is the Great Wall of China?|how old is the great wall of china?]
        [What does NATO stand for?|what does nato stand for?]
        [Is Monday a holiday in Canada?|is monday a holiday in canada?]
        [HELP! My screen is black.|Help! My screen is black.]
        [What is HTML?|what is html?]
        [Tell me about the Roman Empire.|tell me about the roman empire.]
        [Where is Lake Como?|where is lake como?]
        [How do I use JSON in JavaScript?|how do i use json in javascript?]
        [When did World War II end?|when did world war ii end?]
        [Who plays Batman?|WHO PLAYS BATMAN?]
        [Is Ibuprofen an NSAID?|is ibuprofen an nsaid?]
        [What is the GDP of Japan?|what is the gdp of japan?]
        [Best Pizza in Naples?|best pizza in naples?]
        [How do I file a claim with Allianz?|how do i file a claim with allianz?]
        [What Is A Black Hole?|What is a black hole?]
        [How do I boil an egg?|HOW DO I BOIL AN EGG?]
        [What is my rights as a Tenant?|what is my rights as a tenant?]
        [do I need a visa for the USA|Do I need a visa for the USA]
        [what does the word Hygge mean|What does the word hygge mean]
        [Who discovered Penicillin?|who discovered penicillin?]
        [How do I say thanks in Korean?|how do i say thanks in korean?]
        [Can I get a Loan with bad credit?|can i get a loan with bad credit?]
    """,
    "politeness": """
        [How do I reset my password?|Please tell me how to reset my password.|Hi! How do I reset my password? Thanks!]
        [What is the capital of Peru?|Could you please tell me what the capital of Peru is?]
        [|Please ]explain photosynthesis.
        [Summarise this text.|Can you summarise this text?|Could you summarise this text for me, please?]
        [Why is the sky blue?|Can you explain why the sky is blue?|I wonder why the sky is blue.]
        [Where is my order?|Hello, where is my order?|Hey there, where is my order please?]
        [How long do I boil eggs?|I'd like to know how long I should boil eggs.]
        [Translate this into French.|Would you please translate this into French?]
        [What is a mortgage?|Can you tell me what a mortgage is?]
        [List the planets.|Please list the planets for me.]
        Can you help me? [|Please, ]how do I renew my passport?
        [How can I get a refund?|Good morning, how can I get a refund?]
        [Give me a recipe for pancakes.|Could you give me a recipe for pancakes?|I'd love a recipe for pancakes.]
        [Write a poem about autumn.|Kindly write a poem about autumn.|Would you mind writing a poem about autumn?]
        [How does a fridge work?|Do you know how a fridge works?|Would you explain to me how a fridge works?]
        [What are the symptoms of flu?|Quick question: what are the symptoms of flu?]
        [Which visa do I need for India?|Hi, I was wondering which visa I need for India.]
        [How do I write a will?|I want to know how to write a will.|I need to know how to write a will.]
        [Who invented the radio?|Any idea who invented the radio?|Do you happen to know who invented the radio?]
        [How do I undo a commit?|Sorry to bother you, how do I undo a commit?]
        [What time does the gym open?|Excuse me, what time does the gym open?]
        [How do I delete my account?|How do I delete my account? Thank you very much.|Hello team, how do I delete my account?]
        [Is coffee healthy?|Just curious, is coffee healthy?]
        [Check my grammar.|Can you check my grammar?|Could you kindly check my grammar?]
        [How do I make pesto?|I don't know how to make pesto. How do I make pesto?]
        [Is it legal to film a policeman?|Tell me, is it legal to film a policeman?]
        [Is it legal to own a sword?|Is it legal to own a sword? Many thanks.]
        [How do I cancel my plan?|I would like to cancel my plan, how do I do that?]
    """,
    "typo": """
        How do I [reset|rest] my password?
        What is the [capital|captial|capitol] of Norway?
        How do I reverse a list in [Python|Pythno|Pyhton]?
        Who was the first [president|presidant] of France?
        How long does a [refund|refnud] take?
        Where can I [receive|recieve] my parcel?
        What is [photosynthesis|photosythesis|fotosynthesis]?
        How do I [install|instal] Windows?
        Is there a vegan [restaurant|restaraunt|resturant] near me?
        What are the symptoms of [pneumonia|pnuemonia|neumonia]?
        How do I open a bank [account|acount|accout]?
        How do I [delete|delet] my profile?
        How do I make [spaghetti|spagetti|spagheti] carbonara?
        Which [documents|documets] do I need for a visa?
        What is the [definition|defintion|definiton] of entropy?
        What is the [weather|wether|weahter] in Madrid?
        How do I write a [function|fucntion|funtion] in C?
        Is it [necessary|neccessary|necesary] to register?
        How do I apply for a [mortgage|morgage|mortage]?
        When was [Shakespeare|Shakespear|Shakspeare] born?
        What is the [government|goverment] of Denmark like?
        How [does|dose] a vaccine work?
        What is the [address|adress] of the embassy?
        How do I [calculate|calcuate|calculte] compound interest?
        Which [language|langauge|lanugage] is spoken in Chad?
        What is the [temperature|temprature|temperture] on Mars?
        How do I [cancel|cancle] my order?
        What is the best time to visit [Barcelona|Barcelone|Barcalona]?
        Is [Wednesday|Wensday|Wednsday] a good day to travel?
        What does my health [insurance|insurence|insurrance] cover?
        How do I [connect|conect] to a wifi network?
        When is my [appointment|apointment|appointmnet]?
        How do I get rid of a [headache|headake]?
        What is the [population|popualtion|poplation] of Chile?
        How [can|cna] I change my email?
        How do I [unsubscribe|unsubscibe] from the newsletter?
        [What|Waht|Wht] is inflation?
        How much [does|doe] it cost to send a letter?
        How do I cook [broccoli|brocolli|brocoli]?
        [Please|Pleas] explain relativity.
        Who [wrote|worte] Don Quixote?
        How do I [schedule|schedual|shedule] a meeting?
        What is the [minimum|minimun|minumum] wage?
        What is the [distance|distence] to the moon?
    """,
    "order": """
        [In Python, how do I reverse a list?|How do I reverse a list in Python?]
        [What is the capital of France?|The capital of France is what?|France's capital is what?]
        [For a family of four, how much rice do I cook?|How much rice do I cook for a family of four?]
        [If I miss my flight, what happens?|What happens if I miss my flight?]
        [What are good exercises for back pain?|For back pain, what are good exercises?]
        [On Sunday, is the library open?|Is the library open on Sunday?]
        [Before bed, should I drink milk?|Should I drink milk before bed?]
        [Which restaurants in Rome are open today?|Which restaurants are open today in Rome?]
        [How do I merge dictionaries in Python?|In Python how do I merge dictionaries?]
        [What is the tax rate in Nevada?|In Nevada, what is the tax rate?]
        [Salmon and rice: how do I cook them?|Rice and salmon: how do I cook them?]
        [What is the difference between a virus and a bacterium?|What is the difference between a bacterium and a virus?]
        [Compare Java and Kotlin.|Compare Kotlin and Java.]
        [Is there a train between Lyon and Nice?|Is there a train between Nice and Lyon?]
        [What are the rights of tenants in Berlin?|In Berlin, what are the rights of tenants?]
        [Can I, as a student, get a loan?|As a student, can I get a loan?|Can I get a loan as a student?]
        [Who wrote the play Faust?|The play Faust was written by whom?]
        [After 2 weeks, can I still return it?|Can I still return it after 2 weeks?]
        [When the light is red, may I turn right?|May I turn right when the light is red?]
        [With a fever of 39, should I see a doctor?|Should I see a doctor with a fever of 39?]
        [How do you make tea with fresh mint?|With fresh mint, how do you make tea?]
        [List red and white wines from Spain.|List white and red wines from Spain.]
        [Without a card, how can I pay?|How can I pay without a card?]
        [During pregnancy, which cheeses can I eat?|Which cheeses can I eat during pregnancy?]
    """,
    "punctuation": """
        What is the capital of France[?| ?||??]
        Where is my order[?|...|?!]
        How do I reset my password[?|.|!]
        Explain relativity[.|||!]
        Is coffee good for you[?||]
        What is the exchange rate for 1[,|]000 dollars?
        What[’s|'s] a good name for a dog?
        Who wrote [Emma|"Emma"]?
        First[,|] how do I install git?
        What is machine[-| ]learning?
        How do I write an e[-|]mail to my boss?
        Which is better[:|,| -] tea or coffee?
        How do I cook rice (basmati)[?|]
        Hello[,|!|.] can I change my flight?
        How long is the flight [(from Rome to Oslo)|from Rome to Oslo]?
        What is Python's [`len`|len] function?
        How do I get to the airport[?|]
        Is a 10[ |]% tip enough?
        What is 5[ |]km in miles?
        How do I sign[-| ]up?
        Can I pay by card[?| ?]
        Tell me the rules of chess[.|;]
        How tall is K2[?|]
    """,
    "contraction": """
        [What is|What's|Whats] the best way to learn Spanish?
        Why [does not|doesn't|doesnt] my printer work?
        Why [can I not|can't I|can not I] log in?
        [I am|I'm|Im] allergic to nuts, what can I eat?
        [Where is|Where's] the nearest bank?
        [Who is|Who's] the king of Sweden?
        [How is|How's] cheese made?
        I [cannot|can't|can not|cant] open the file.
        [It is|It's] raining, what can we do?
        What if I [do not|don't|dont] have a passport?
        [I have|I've] lost my card.
        [I would|I'd] like a vegan menu.
        [That is|That's] not what I ordered, what now?
        They [will not|won't] refund me, what can I do?
        My package [has not|hasn't] arrived.
        My phone [is not|isn't] charging.
        [We are|We're] moving to Spain, which papers do we need?
        [You are|You're] charging me twice, why?
        [There is|There's] a bug in my code.
        Why [are not|aren't] penguins able to fly?
        What [should not|shouldn't] I say at a funeral?
        She [did not|didn't] sign the contract, is it valid?
        [When is|When's] the next train?
        [I will|I'll] arrive late, what happens to my room?
    """,
    "function words": """
        How [do|can|should|could|would] I change my email address?
        How [do I|do you|does one|can one|to] tie a tie?
        What is the [best|ideal|optimal] way to store bread?
        [Which|What] movies won an Oscar?
        How [big|large] is Jupiter?
        What are [the|some|] good books about Rome?
        Is there [a|any] way to recover my data?
        [What are the steps to|How do I] set up a company?
        How [much time|long] does it take to roast a chicken?
        Where [can|could|may] I park?
        What [is|are] the opening hours?
        How do I [fix|repair|mend] a flat tyre?
        How do I [start|begin] a business?
        What is [a|an|the] meaning of inflation?
        I [want|need|would like] to renew my library card.
        How do I get [from the airport to|to] the city centre?
        Is it [okay|ok|alright|fine] to reheat rice?
        How [quickly|fast] does hair grow?
        How do I [buy|purchase] a ticket?
        How do I [make|create|build] a web page?
        What is the [quickest|fastest] route to Bern?
        How do I [close|shut] the window?
        How do I [contact|reach] support?
        Which [doctor|physician] treats gout?
        How do I [remove|delete|erase] a file?
        Is it [legal|lawful] to brew beer at home?
        What does a [flat|apartment] in Porto cost?
        How do I clean a [sofa|couch]?
        Which [shops|stores] are open late?
        How do I [obtain|get] a birth certificate?
        What is the [price|cost] of a bus ticket?
        What is the [main|primary|chief] cause of obesity?
        How do I [begin|start] with yoga?
        Can [kids|children] eat honey?
        How do I change my [mobile|cell] phone number?
        Is my [car|automobile] worth repairing?
        How do I [speak to|talk to] an agent?
        What are some [tips|hints] for a job interview?
        Which [picture|image] format is smallest?
        How do I [choose|select|pick] a wine?
        How [frequently|often] should I water a cactus?
    """,
    "same fact": """
        Give me [3|three] tips for sleeping well.
        What is the population of the [US|USA|United States|U.S.]?
        Is [10 km|10 kilometres|10 kilometers|10km] far?
        What happened on [3 March 2020|March 3rd, 2020|2020-03-03|March 3, 2020]?
        Does the shop open at [5pm|17:00|5 p.m.|5:00 pm]?
        How much is [$100|100 dollars|100 USD|USD 100] in euros?
        Is [5%|5 percent|five percent] a good rate?
        Where can I find [1,000|1000|1k] free icons?
        Explain the [1st|first] law of motion.
        Who lived in the [20th|twentieth] century?
        How do I cook [half a kilo|0.5 kg] of lentils?
        Is [two hours|2 hours|2h|2 hrs] enough for the museum?
        What does [a dozen|12|twelve] eggs cost?
        Does it rain in [September|Sept|Sep]?
        Is the shop open on [Tuesday|Tuesdays|Tue]?
        How far is it from [NYC|New York] to Boston?
        Who is the prime minister of the [UK|United Kingdom]?
        Is [1.5|1.50] litres enough?
        What does [World War 2|World War II|WW2] teach us?
        How long is [90 minutes|90 min|ninety minutes]?
        Is a [2 million|2,000,000] budget large?
        What does the [EU|European Union] do?
        Is [20 °C|20 degrees Celsius|20C] warm?
        Should I [turn on|enable|switch on] location services?
        Is it [illegal|not legal] to copy a book?
        Is the warranty [invalid|not valid]?
        Which rooms are [unavailable|not available]?
    """,
}
"""By category: ways to say the same."""


def pairs(lines: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """By category, pairs of texts: what stands before `|`, and each alternative to it."""
    return {
        category: [pair for line in text.split("\n") for pair in line_pairs(line.strip())] for category, text in lines.items()
    }


def line_pairs(line: str) -> list[tuple[str, str]]:
    """The pairs of one line.

    >>> line_pairs("How do I [lock|unlock] it?")
    [('How do I lock it?', 'How do I unlock it?')]
    """
    found = re.search(r"\[([^\[\]|]*)\|([^\[\]]*)\]", line)
    if not found:
        return []
    first, *others = [line[: found.start()] + choice + line[found.end() :] for choice in found[0][1:-1].split("|")]
    return [(first, other) for other in others if other != first]

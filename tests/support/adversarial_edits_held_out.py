"""Edits written before the guards, and kept apart from `adversarial_edits`, whose notation they use."""

from __future__ import annotations

HELD_OUT_ADVERSARIAL = {
    "number": """
        Is a tip of [15|25] percent usual in a New York restaurant?
        How many calories are in [two|four] boiled eggs?
        Which king had [six|eight] wives?
        Write a haiku with [three|four] lines about autumn.
        How can I fit [12|20] people around one table?
        What does HTTP status [403|404] mean?
        Which planet is the [fourth|fifth] from the sun?
        Give me [a dozen|half a dozen] ideas for a birthday party.
        Is a fever of [38.2|39.2] dangerous for a toddler?
        Explain article [5|6] of the GDPR.
        What is the square root of [1,024|1,042]?
        Can I retire at [55|65] with my workplace pension?
        Refund order [88120|88210], please.
        Translate the [first|last] paragraph into Spanish.
        How long do [2|12] eggs need in the steamer?
        Is a credit score of [seven hundred|six hundred] good enough for a mortgage?
        What happens to my deposit if I cancel [thirty|sixty] days before arrival?
        How do I merge [2|3] branches in git?
        What is [17|71] modulo 6?
        Is [1.5|15] mmol of potassium a lot?
        How much is [half|a quarter] of 96?
        Does [twenty-one|twenty-two] count as a Harshad number?
    """,
    "unit": """
        How many steps are in 5 [km|miles]?
        Is 300 [mg|g] of ibuprofen too much?
        How hot is 180 [Celsius|Fahrenheit] in practice?
        How long is a 20 [minute|hour] flight delay covered?
        What would 2 [cups|tablespoons] of sugar weigh?
        How much is 40 [dollars|euros] in yen?
        Is a 512 [MB|GB] drive enough for photos?
        Set the timeout to 30 [seconds|milliseconds].
        How far can one walk in 3 [hours|days]?
        How much paint do I need for 12 square [feet|metres]?
        Is a growth of 2 [percent|percentage points] good for a rate of 4?
        How fast is 90 [mph|km/h]?
        Give 10 [ml|mg] of the syrup to a child?
        What does a 5 [kg|lb] turkey cost?
        How many people can live on 2 [acres|hectares]?
        Can I sublet for 6 [weeks|months]?
        What is 75 [€|£] worth today?
        How loud is 50 [watts|volts]?
        Is a 2 [oz|lb] steak a full portion?
        How many words fit in 3 [pages|lines]?
    """,
    "date": """
        What was the exchange rate on [4 March 2021|4 May 2021]?
        Is the museum open on [Tuesday|Thursday]?
        Who won the world cup in [2010|2014]?
        What is the weather like [today|tomorrow]?
        Summarise the news of [this|last] week.
        When does the [morning|evening] train leave?
        What were our sales in [Q2|Q3]?
        Book a table for [7pm|9pm].
        Which films came out in the [80s|90s]?
        Are shops closed on [Christmas Eve|New Year's Eve]?
        Show the log entries since [2023-11-02|2023-12-02].
        What can I plant in [spring|autumn]?
        Which taxes are due in [April|August]?
        Show invoices from [last|next] month.
        Was the bank holiday on [May 3rd|May 5th]?
        Who was prime minister in [1979|1997]?
        Is there a flight at [06:15|16:15]?
        What did people eat in the [14th|15th] century?
        Remind me [this|next] Friday to call the dentist.
        Which laws changed in [January|June]?
        Where was she born in [nineteen eighty|nineteen ninety]?
    """,
    "negation": """
        Which cheeses [are|are not] safe in pregnancy?
        Name three animals that [can|cannot] swim.
        Why [did|didn't] Rome fall in one day?
        Show me recipes [with|without] nuts.
        Is it [legal|illegal] to record a phone call?
        Which payment methods [do|don't] you take?
        What happens if I [do|do not] pay the fine?
        List the tests that [never|] fail.
        Is my data [encrypted|unencrypted] at rest?
        Why is the result [consistent|inconsistent]?
        Can someone who has [never|] smoked get lung cancer?
        Which countries are [not |]in the EU?
        Should one [|not ]rinse pasta after cooking?
        What if the tenant [refuses|does not refuse] to leave?
        Are there [no|] side effects of zinc?
        Which of these columns [has|has no] index?
        How can I write [|non-]blocking code in C?
        Who [is|isn't] allowed to vote in local elections?
        Is the function [pure|impure]?
        Does the warranty apply [unless|if] the seal is broken?
        What if my visa was [approved|disapproved]?
        Can I travel [with|without] a passport inside Schengen?
    """,
    "antonym": """
        How do I [enable|disable] two-factor login?
        What [increases|decreases] blood pressure?
        How can I [lock|unlock] a user account?
        Is it better to [rent|buy] a flat?
        What is the [maximum|minimum] age for a pilot?
        How do I [mount|unmount] a volume in Linux?
        Why is my plant [growing|shrinking]?
        What are the [advantages|disadvantages] of nuclear power?
        When do [lenders|borrowers] pay tax on interest?
        How can I [import|export] contacts in Outlook?
        Should I eat [before|after] the blood test?
        Why do [hot|cold] drinks hurt my teeth?
        What is the [cheapest|dearest] phone on offer?
        How do I [subscribe to|unsubscribe from] the newsletter?
        How do I [encrypt|decrypt] a PDF?
        Is the [left|right] lung larger?
        What makes bread [soft|hard]?
        Are [male|female] mosquitoes the ones that bite?
        How do I [join|leave] a channel?
        What was the [best|worst] film of the decade?
        Why are shares [rising|falling]?
        How do I [deposit|withdraw] cash abroad?
        How do I [accept|decline] a calendar invitation?
        What is [upstream|downstream] of the dam?
    """,
    "entity": """
        What is the capital of [Norway|Sweden]?
        who wrote [hamlet|macbeth]?
        How do I install [Docker|Podman] on a laptop?
        What is the population of [Chile|Peru]?
        Can I mix [paracetamol|warfarin] with alcohol?
        How do I sort a list in [Java|JavaScript]?
        Which river flows through [Vienna|Prague]?
        When was [Tesla|Edison] born?
        what currency does [iran|iraq] use?
        Is [Slovakia|Slovenia] in the Eurozone?
        How do I connect [Postgres|MySQL] to Grafana?
        Recipe for [chicken|tofu] curry, please.
        How do I cancel [Netflix|Spotify]?
        Who is the CEO of [Intel|AMD]?
        Does the [iPhone|iPad] have a SIM slot?
        how long does a visa for [china|india] take?
        What are the symptoms of [measles|mumps]?
        Tell me about the battle of [Hastings|Agincourt].
        Is [Lisbon|Porto] good for families?
        How do I learn to play the [violin|piano]?
        What does a [lawyer|notary] charge?
        How do I prune [roses|hydrangeas]?
        Who played [Frodo|Gandalf] in the film?
        What do [otters|badgers] eat?
    """,
    "quoted": """
        What does the word "[serene|severe]" mean?
        Translate '[good morning|good night]' into Greek.
        Fix the error "[Permission denied|Connection refused]" in ssh.
        Who said "[I came, I saw|I think, therefore I am]"?
        What is the plural of "[ox|fox]"?
        Find files that contain `[todo|fixme]`.
        Use the word "[albeit|whereas]" in a sentence.
        What does the button “[Apply|Save]” do?
        Explain the proverb "[a stitch in time|a rolling stone]".
        How do I pronounce "[cache|cachet]"?
        Run the command `git [stash|rebase]` and explain it.
        What rhymes with "[orange|silver]"?
    """,
    "reversal": """
        [How do I get from Rome to Milan|How do I get from Milan to Rome] by train?
        [Convert USD to EUR|Convert EUR to USD].
        Is [tea better than coffee|coffee better than tea] for sleep?
        Did [Germany invade France|France invade Germany] in 1940?
        How do I convert [a list to a tuple|a tuple to a list]?
        [Can a cat catch a cold from a dog|Can a dog catch a cold from a cat]?
        Translate this from [English to Polish|Polish to English].
        [Is Jupiter larger than Saturn|Is Saturn larger than Jupiter]?
        Why did [Brutus kill Caesar|Caesar kill Brutus]?
        How do I copy files from [my phone to my laptop|my laptop to my phone]?
        Who owes money when [the buyer sues the seller|the seller sues the buyer]?
        How many [pints are in a gallon|gallons are in a pint]?
        Should I [eat before I run|run before I eat]?
        What if [A implies B|B implies A]?
    """,
}
"""By category: questions that look alike and have different answers."""

HELD_OUT_HARMLESS = {
    "case": """
        [What is the capital of Norway?|what is the capital of norway?]
        [How do I install Docker on Ubuntu?|HOW DO I INSTALL DOCKER ON UBUNTU?]
        [who wrote the old man and the sea|Who wrote The Old Man and the Sea]
        [Does my iPhone support NFC?|does my iphone support nfc?]
        [When is Easter in Greece?|when is easter in greece?]
        [Explain the GDPR to a child.|explain the gdpr to a child.]
        [How tall is Mount Kenya?|How Tall Is Mount Kenya?]
        [is python slower than rust|Is Python slower than Rust]
    """,
    "politeness": """
        [|Please ]summarise the plot of Dune.
        [How do I reset my router?|Could you tell me how to reset my router?]
        [|Hi, ]what does the premium plan cost?
        [Can I return worn shoes?|Hello! Can I return worn shoes? Thanks in advance.]
        [Explain recursion.|Can you please explain recursion to me?]
        [What is a leap year?|I would like to know what a leap year is.]
        [Which wine goes with trout?|Quick question: which wine goes with trout?]
        [Convert 5 km to miles.|Would you kindly convert 5 km to miles?]
        [Why is the sky blue?|Hey, can you tell me why the sky is blue, please?]
        [Where can I park near the stadium?|Do you know where I can park near the stadium?]
    """,
    "typo": """
        How do I [separate|seperate] egg whites?
        What is the [maximum|maximun] weight of hand luggage?
        How do I sort a [dictionary|dictionnary] in Python?
        Who [discovered|discoverd] penicillin?
        Which [restaurants|restarants] in Lyon are open late?
        How do I cancel my [subscription|subscripton]?
        Where is the [Eiffel|Eifel] Tower?
        Is [ibuprofen|ibuprofin] safe with alcohol?
        What is the [difference|diffrence] between a crow and a raven?
        How do I [delete|delte] a branch in git?
    """,
    "order": """
        [In Paris, where can I rent a bike?|Where can I rent a bike in Paris?]
        [After surgery, can I drive?|Can I drive after surgery?]
        [What are the symptoms of measles in adults?|In adults, what are the symptoms of measles?]
        [How do I undo a commit in git?|In git, how do I undo a commit?]
        [Today, which shops are open?|Which shops are open today?]
        [If my bag is lost, whom do I call?|Whom do I call if my bag is lost?]
        [What is the Spanish word for bread?|What is the word for bread in Spanish?]
    """,
    "punctuation": """
        What is the capital of Norway[?|]
        Who wrote Hamlet[?|???]
        How do I export a CSV file[?| ?]
        Is it safe to freeze milk[?|.]
        Which is larger[,|:] a whale shark or an orca?
        What[’s|'s] the time in Tokyo?
        Explain quantum computing[.|!]
        Is 1[,|]000 a perfect square?
    """,
    "contraction": """
        [What is|What's] the best way to poach an egg?
        Why [does not|doesn't] my code compile?
        [I am|I'm] locked out of my account, what now?
        [How is|How's] the weather in Malta in May?
        I [cannot|can't] hear the other callers.
        [Where is|Where's] the nearest pharmacy?
        [Who is|Who's] the author of Emma?
    """,
    "function words": """
        How [do|can] I change my password?
        What is the [best|optimal] way to clean a cast iron pan?
        Which [film|movie] won the Oscar in 2003?
        How [can one|do you] get rid of ants?
        What are [some|] good names for a cat?
        How [much|many dollars] does a passport cost?
        How [big|large] is the Pacific Ocean?
        Where [can|could] I buy stamps?
        Is there [a|any] way to recover a deleted note?
        How do I [fix|repair] a leaking tap?
        What is [the|an] easy recipe for pancakes?
        [What are the steps to|How do I] renew a passport?
        How [long does it take|much time does it take] to boil an egg?
        Tell me the [3|three] largest lakes in Africa.
        What happened on [3 March 2020|March 3rd, 2020]?
        Does the shop open at [5pm|17:00]?
        Is 10 [km|kilometres] far?
        What is the GDP of the [US|United States]?
    """,
}
"""By category: ways to say the same."""

LATER_ADVERSARIAL = {
    "number": """
        How do I split a string into [3|5] parts?
        Is [7|17] months too early to walk?
        What are the [three|four] branches of government?
        Can I claim [80|800] pounds for the lost bag?
        Is a grade of [6.5|8.5] good?
        How much does it cost to send [ten|thirty] postcards?
        Who was the [9th|19th] pope?
        What is the derivative of x to the [third|fourth]?
        Does room [12|21] have a balcony?
        Which rule is number [eleven|twelve]?
        How long do [6|16] chicken wings take in the fryer?
        What is [20|40]% of 250?
    """,
    "unit": """
        How heavy is 5 [litres|pints] of paint?
        Is a fine of 80 [euros|pounds] normal for parking?
        How long is a 10 [mile|kilometre] run for a beginner?
        Is 6 [GB|TB] enough for backups?
        Is 90 [seconds|minutes] the right time for an espresso?
        How much is 3 [oz|g] of saffron?
        Can I drive 600 [miles|km] on one tank?
        Is 15 [weeks|days] of leave usual?
        Is 4 [mm|cm] of tread legal?
        What is 37 [C|F] for a dog?
    """,
    "date": """
        Which comet was visible in [July|October]?
        Who was chancellor in [1998|2006]?
        Did the parcel leave on [Monday|Saturday]?
        What is the tide at [6am|6pm]?
        Show the minutes of [last|next] week's meeting.
        Is the castle open on [24 May|27 May]?
        Which bands were big in the [70s|90s]?
        What did the stock do [yesterday|today]?
        When is the [afternoon|evening] performance?
        How was tourism in [the spring of 2019|the spring of 2021]?
        Is there a sale on [2025-01-05|2025-05-01]?
        Can I check in at [13:00|23:00]?
    """,
    "negation": """
        Which snakes [are|aren't] venomous?
        What if I [signed|never signed] a lease?
        Can I bake brownies [with|without] eggs?
        Why [was|wasn't] the flight delayed?
        Is the boiler [covered|not covered] by the guarantee?
        Which of these matrices are [invertible|not invertible]?
        Is it [fair|unfair] to charge a booking fee?
        What should I do if I [get|don't get] a reply?
        Which trees [lose|do not lose] their leaves?
        Is this statement [logical|illogical]?
        Are there any cities with [|no ]crime?
        Who [can|can't] apply for the grant?
    """,
    "antonym": """
        How do I [pin|unpin] a tab?
        Do I pay [before|after] the meal?
        Which side of the road is [left|right] of the river?
        What makes the pound [stronger|weaker]?
        How do I [merge|split] cells in a sheet?
        What is the [longest|shortest] river in Japan?
        How do I turn location [on|off]?
        Is the [upper|lower] back more at risk?
        How do I [load|unload] a module?
        Who pays: the [sender|recipient]?
        Are [wet|dry] suits warmer?
        Is the film [overrated|underrated]?
        Why do prices [rise|fall] in winter?
        How do I [hire|fire] a nanny?
    """,
    "entity": """
        Who composed [Aida|Carmen]?
        how do i get a visa for [ghana|guyana]?
        What is the venue of the [Roskilde|Glastonbury] festival?
        How do I center a div in [Bootstrap|Tailwind]?
        Does [lavender|thyme] need full sun?
        What is the dosage of [cetirizine|loratadine]?
        When did [Nirvana|Metallica] form?
        How do I file a complaint against [Vodafone|Verizon]?
        Is [Bruges|Ghent] worth a day trip?
        What is the purpose of the [spleen|pancreas]?
        How do I sharpen a [chisel|sickle]?
        What does a [welder|carpenter] earn?
        what is the history of [fado|flamenco]?
        How do I draw a [dragon|unicorn]?
        How do I fillet a [mackerel|sardine]?
        Is [Ruby|Scala] still used?
    """,
    "quoted": """
        What does "[nonplussed|perplexed]" mean?
        Fix "[segmentation fault|bus error]" in my program.
        Who wrote '[Ozymandias|Kubla Khan]'?
        What does `chmod [755|644]` do?
        Translate “[happy birthday|happy new year]” into Welsh.
        What does the label "[fragile|flammable]" look like?
        Where does "[the whole nine yards|the bee's knees]" come from?
    """,
    "reversal": """
        What is the train fare from [Kyoto to Osaka|Osaka to Kyoto]?
        Is [silver cheaper than copper|copper cheaper than silver]?
        Did [Carthage defeat Rome|Rome defeat Carthage]?
        How do I convert [grams to ounces|ounces to grams]?
        Can [the landlord evict the tenant|the tenant evict the landlord]?
        How do I turn [a dict into a dataframe|a dataframe into a dict]?
        Is [a marathon harder than a triathlon|a triathlon harder than a marathon]?
    """,
}
"""By category, as the others; written when the guards were finished."""

LATER_HARMLESS = {
    "all": """
        [Who composed Aida?|who composed aida?]
        [Which snakes are venomous?|Could you tell me which snakes are venomous?]
        [How do I center a div in Bootstrap?|In Bootstrap, how do I center a div?]
        What does a [carpenter|carpentar] earn?
        [How can I|How do I] sharpen a chisel?
        [Is Bruges worth a day trip?|Is Bruges worth a day trip]
        Why [was not|wasn't] the flight on time?
        Do I pay after the meal[?|, please?]
        [Can I bake brownies without eggs?|Is it possible to bake brownies without eggs?]
        What is [20%|20 percent] of 250?
        Is [90|ninety] seconds the right time for an espresso?
        [Which bands were big in the 70s?|What bands were big in the 70s?|which bands were big in the 1970s?]
        How do I [convert|change] grams to ounces?
        [What is the longest river in Japan?|What's the longest river in Japan?|the longest river in japan is what?]
        [How long is a 10 mile run?|How long does a 10 mile run take?]
        [Who pays: the sender?|Hi there, who pays: the sender? Thank you!]
        How do I [load|laod] a module?
        How do I file a [complaint|complain] against Vodafone?
        [When did Nirvana form?|When was Nirvana formed?]
        [What is the purpose of the spleen?|Please explain the purpose of the spleen.|The spleen: what is its purpose?]
        Which trees lose their [leaves|leafs]?
        [Does lavender need full sun?|Does lavender need a lot of full sun?]
        [Is it fair to charge a booking fee?|Do you think it is fair to charge a booking fee?]
        What is the [dosage|dosis] of cetirizine?
        [How was tourism in the spring of 2019?|In the spring of 2019, how was tourism?]
        [Can I check in at 11pm?|Can I check in at 23:00?]
        [Who was the 19th pope?|Who was the nineteenth pope?|who was the 19th Pope]
        Where does the [phrase|expression] come from?
        What should I do if I [do not|don't] get a reply?
        [Show the minutes of last week's meeting.|Can you show me the minutes of last week's meeting?]
        How do I [draw|sketch] a dragon?
        [What does a welder earn?|How much does a welder earn?]
        How do I hire a [nanny|Nanny]?
        [How do I pin a tab?|How can a tab be pinned?]
    """,
}
"""As the others; written when the guards were finished."""

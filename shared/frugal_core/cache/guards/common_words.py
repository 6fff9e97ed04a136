"""Common English words, by what it means that one question has them and another has not."""

from __future__ import annotations

from frugal_core.cache.guards.words import each_word

POLITE = frozenset(
    each_word("""
    please pls plz kindly hello hi hey dear greetings thanks thank thankyou cheers sorry excuse pardon team regards welcome
    """)
)
"""They say nothing of what is asked."""

FUNCTION = frozenset(
    each_word("""
    a an the this that these those there here it its he him his she her hers they them their theirs we us our ours you your
    yours i me my mine myself yourself itself himself herself themselves one ones someone somebody anyone anybody everyone
    everybody something anything everything some any each every all both either neither such same other another others else
    own be am is are was were been being do does did done doing have has had having can could may might must shall should
    will would ought need dare used going gonna wanna let lets got get gets getting and or but nor so yet if then than as
    because since while whereas although though unless until till when whenever where wherever why how however what whatever
    which whichever who whom whose whoever whether of in on at to from by for with within without about against between
    among into onto out off over under up down through during before after above below across along around behind beside
    besides beyond near per via upon toward towards except despite like unlike not no never 't yes ok okay just only also
    too very quite really rather almost even still already again ever once always often sometimes usually now soon later ago
    back away together maybe perhaps much many more most less least few fewer several enough lot lots bit little s t re ve
    ll vs etc eg ie u ur whats hows wheres whos im ive id youre theres dont doesnt cant wont
    """)
)
"""They join other words; other guards look at the few of them that matter."""

SOFT = frozenset(
    each_word("""
    able abroad absolute absolutely accept acceptable access accidentally accomplish accord account achieve acquire act
    action active activity actual actually adapt add additional address adequate adjust admit adopt advance advanced
    advantage advice advise affect afford affordable afraid agency agent aim alive allow alone alright alternative
    alternatively amazing amount analyse analysis analyze annoying answer anyway anywhere appear application apply approach
    appropriate approximately area argue arise arrange arrive article ask aspect assist assistance associate assume attach
    attempt attend author available average avoid aware awesome bad base based basic basically basis be become becoming
    begin beginner beginning behave behaviour behavior believe benefit best better big block boost bother bring broad build
    building business busy buy calculate call called capable care careful carry case catch category cause central certain
    certainly chance change character characteristic charge cheap check choice choose chosen claim class clean clear clearly
    click close code collect combine come comfortable comment common commonly company compare compared comparison complete
    completely concept concern condition conduct confirm connect connection consequence consider considered contact contain
    content context continue contribute control convert convince cook cool correct correctly cost count course cover create
    creation criteria critical curious current currently customer cut daily damage date day deal decent decide decision deep
    define defined definition delete deliver demand depend depending describe description design desire detail detailed
    details determine develop developed development differ difference differences different differently difficult difficulty
    direct directly disadvantage discover discuss disease display distinguish document drive drop due earn easier easiest
    easily easy eat effect effective effectively effects efficient effort elaborate eliminate employ enable encounter end
    enjoy ensure enter entire environment equal essential establish estimate evaluate event eventually everyday evidence
    exact exactly example examples excellent exist exists expect expected expensive experience expert explain explanation
    express extent extra fact factor factors fail fair fall family famous fast faster fastest favorite favourite feature
    features feel field figure file fill final finally find finding fine finish first fit fix fixed follow following food
    force form format former found free frequently full fully function fun funny further future gain general generally
    generate genuine give given gives glad go goal goes good great group grow guess guide guideline guy guys handle happen
    happened happening happens happy hard hardly have heal health healthy hear help helpful high higher highest highly hints
    hold hope huge hurt idea ideal ideas identify imagine immediately impact implement implication important impossible
    impress improve improvement include included includes including increase indicate individual inform information inside
    instance instead instruction instructions intend intention interest interested interesting introduce involve involved
    issue issues item job join keep key kind kinds know knowledge known lack large largest last late lately latest law lead
    leading learn learned learning leave legal legit let level life light likely limit line link list listed live living
    local location long longer look looking lose loss love low lower main mainly maintain major make makes making manage
    manner mark match matter mean meaning means measure meet member mention message method methods mind minimum miss missing
    mistake mode modern modify moment month more move name named natural near nearby nearest necessary need needed needs new
    next nice normal normally note notice number object obtain obvious occur offer official open operate opinion opinions
    opportunity option options order organise organize origin original originate outside overall overcome own page part
    particular particularly party pass past pay people perfect perform period permanently permitted person personal phrase
    pick piece place plan play please point points popular position possible possibly post potential practical practice
    prefer preferred prepare preparation present prevent previous price primary principle print private probably problem
    problems procedure proceed process produce product professional project proper properly property prove provide provided
    public pull purchase purpose push put qualities quality question questions quick quickest quickly rate reach read ready
    real realistic realise realize reason reasons receive recent recently recommend recommendation recommended record
    recover reduce refer reference regard regarding related relation relationship relative release relevant reliable remain
    remember remove repair replace replacement reply report represent request require required requirement requirements
    research resolve resource resources respond response responsible rest result results retain return reveal review rid
    right role rule rules run safe safely safest same save say says scenario scope search section see seek seem seems seen
    select sell send sense separate serious service serve set setting settings setup shape share short show shown side sign
    significance significant significantly signs similar similarity simple simply single site situation size skill skills
    slow small smart smarter solution solutions solve sort source speak special specific specifically specify spend stage
    standard start started state stay step steps stop store story strategies strategy strong structure stuff style subject
    succeed success successful successfully suffer suggest suggestion suggestions suitable support suppose supposed sure
    surely switch symptom symptoms system take taken takes taking talk task technique techniques tell term terms test theory
    thing things think thought thoughts time times tip tips title tool tools top topic topics total treat treatment tried
    trouble true truly trust try trying turn type types typical typically ultimate understand unique update use used useful
    user uses using usual usually utilise utilize valid value various version view visit wait want wanted wants watch way
    ways website well whole willing win wish wondering word words work worked working works world worry worse worst worth
    write writing wrong year guidance hint advices procedures tricks trick pros cons merits demerits basics fundamentals
    overview summary summarise summarize outline thoroughly bunch couple pair best-known renew cancel reset restore retrieve
    locate lookup shut closed opens closes opening closing hours simplest smallest biggest greatest newest oldest cheapest
    priciest wonderful horrible terrible awful occurred wonder wondered concerning pertaining existing presently nowadays
    rightly wrongly roughly nearly somewhat fairly pretty totally entirely partly tough complicated complex straightforward
    optimal optimum optimised suited decline decrease shrink rise raise diminish enlarge expand extend shorten lengthen
    stand imply signify denote stands causes caused causing leads led kids kid child children persons human humans men man
    women woman everyone folks folk individuals feelings feeling felt feels lookout propose proposes tells told telling said
    saying asked asking answered answers replied writes wrote written reading reads made maker doing did took gave went came
    ran kept left lost brought bought sold sent spent paid built broke broken chose worn held heard met sat stood taught
    caught fought slept stole driven eaten eating won began begun became understood lying lie lies lay dead dying die died
    birth born death rich richest poor wealthy beautiful ugly handsome lovely sad angry upset bored boring tired scared fear
    worried stressed lonely shy confident lazy strict dangerous harmful risky secure legally illegal illegally
    """)
)
"""A difference in them alone decides nothing: they have synonyms, or say little."""

THINGS = frozenset(
    each_word("""
    afghanistan albania algeria andorra angola argentina armenia australia austria azerbaijan bahamas bahrain bangladesh
    barbados belarus belgium belize benin bhutan bolivia bosnia botswana brazil brunei bulgaria burundi cambodia cameroon
    canada chad chile china colombia columbia comoros congo croatia cuba cyprus denmark djibouti dominica ecuador egypt
    england eritrea estonia ethiopia fiji finland france gabon gambia georgia germany ghana greece grenada guatemala guinea
    guyana haiti honduras hungary iceland india indiana indonesia iran iraq ireland israel italy jamaica japan jordan
    kazakhstan kenya kosovo kuwait laos latvia lebanon lesotho liberia libya lithuania luxembourg macedonia madagascar
    malawi malaysia maldives mali malta mauritania mauritius mexico moldova monaco mongolia montenegro morocco mozambique
    myanmar namibia nauru nepal netherlands nicaragua niger nigeria norway oman pakistan palau palestine panama paraguay
    peru philippines poland portugal qatar romania russia rwanda samoa scotland senegal serbia singapore slovakia slovenia
    somalia spain sudan suriname sweden switzerland syria taiwan tajikistan tanzania thailand togo tonga tunisia turkey
    uganda ukraine uruguay vietnam wales yemen zambia zimbabwe usa uk eu un africa asia europe alabama alaska arizona
    arkansas california carolina dakota delaware florida hawaii idaho illinois iowa kansas kentucky louisiana maine maryland
    michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon pennsylvania tennessee texas utah
    vermont virginia washington wisconsin wyoming amsterdam ankara athens atlanta auckland baghdad bangkok barcelona basel
    beijing beirut belfast berlin bern bogota bonn boston brisbane bristol brussels bucharest budapest cairo cardiff chennai
    chicago cologne copenhagen dallas damascus delhi denver detroit doha dortmund dresden dubai dublin durban edinburgh
    frankfurt geneva genoa glasgow hamburg hanoi havana helsinki houston istanbul jakarta jerusalem karachi kiev kyiv lagos
    lahore leeds leipzig lima lisbon liverpool london lyon madrid manchester manila marseille melbourne miami milan minsk
    montreal moscow mumbai munich nairobi nantes naples nice nicosia oslo oxford paris perth porto portland prague quito
    rabat riga rome rotterdam salzburg santiago seattle seoul seville shanghai stockholm stuttgart sydney tallinn tehran
    tokyo toronto tripoli tunis turin utrecht valencia vancouver venice vienna vilnius warsaw york zagreb zurich arabic
    bengali chinese czech danish dutch english finnish french german greek hebrew hindi hungarian irish italian japanese
    korean latin latvian norwegian persian polish portuguese punjabi romanian russian serbian slovak slovenian spanish
    swedish tamil telugu thai turkish ukrainian urdu american british indian australian austrian canadian mexican swiss
    iranian iraqi african asian python java javascript typescript ruby rust kotlin swift scala perl julia haskell erlang
    elixir clojure lua matlab fortran cobol html css xml json yaml csv sql mysql sqlite postgres mongodb redis oracle linux
    ubuntu debian fedora windows android ios macos numpy scipy pandas pytorch tensorflow keras django flask fastapi react
    angular vue node docker podman kubernetes git github gitlab bitbucket azure aws google amazon apple samsung microsoft
    facebook twitter instagram whatsapp telegram tiktok youtube netflix spotify uber lyft airbnb paypal visa mastercard lidl
    aldi intel amd nvidia tesla ford toyota honda hyundai bmw audi excel word powerpoint outlook gmail chrome firefox safari
    edge iphone ipad ipod macbook alexa siri aspirin ibuprofen paracetamol naproxen warfarin heparin insulin metformin
    codeine morphine amoxicillin ampicillin penicillin prednisone prednisolone hydralazine hydroxyzine celebrex celexa
    clonidine clonazepam lamictal lamisil losartan valsartan bupropion buspirone sertraline cetirizine fluoxetine paroxetine
    zantac xanax zyrtec measles mumps malaria cholera influenza diabetes asthma cancer tumor tumour anemia anaemia arthritis
    eczema psoriasis migraine gout gut flu cold fever cough burn bruise ulcer hernia stroke kidney liver heart lung brain
    stomach skin bone muscle nerve blood mercury venus earth mars jupiter saturn uranus neptune pluto moon sun iron copper
    gold silver zinc tin lead nickel cobalt sodium potassium calcium magnesium carbon nitrogen oxygen hydrogen helium neon
    argon chlorine fluorine iodine sulfur phosphorus apples pear peach plum grape grapes melon lemon lime orange banana
    cherry berry tomato tomatoes potato potatoes onion garlic carrot cucumber cucumbers pepper spinach broccoli cabbage
    lettuce bean beans pea peas rice pasta bread cheese butter margarine milk cream egg eggs chicken beef pork lamb fish
    salmon tuna trout lobster crab shrimp meat ham bacon tofu soup sauce salad cake pie cookie pancake pancakes pizza burger
    coffee tea wine beer whisky water juice honey sugar salt flour oil vinegar dog cat horse cow pig sheep goat hamster
    hamsters rabbit rabbits mouse moose goose duck hen bear wolf fox otter badger lion tiger panda penguin parrot puppy
    kitten snake lizard frog toad bee wasp ant ants spider crocodile alligator caiman whale shark dolphin rose roses tulip
    oak pine hydrangea hydrangeas lawn garden tree grass car bus train tram bike bicycle plane boat ship truck van taxi
    flight hotel hostel airport station passport ticket luggage house flat apartment room kitchen bathroom bedroom roof wall
    floor window door garage sofa couch chair table bed lamp fridge oven stove dishwasher washing machine dryer heater phone
    mobile laptop tablet computer printer scanner monitor screen keyboard camera battery charger cable router modem wifi
    internet email password username profile photo picture video audio plumber roofer electrician painter lawyer notary
    judge jury police doctor nurse dentist barber teacher farmer soldier sailor bank loan mortgage credit debit card cash
    cheque check invoice tax taxes pension salary wage insurance stock stocks bond bonds fund rent lease deposit refund
    money contract will divorce bankruptcy marriage wedding funeral birthday holiday vacation school college university
    degree exam homework essay novel poem letter book film movie song album music guitar violin piano drums flute chess
    poker football soccer rugby cricket tennis golf hockey baseball basketball boxing judo karate yoga swimming cycling noun
    verb adjective adverb list tuple dictionary string integer float array loop function class module package column index
    weather climate storm flood earthquake volcano river lake sea ocean mountain island desert forest valley king queen
    president minister emperor pope prince princess army navy war battle treaty revolution election vote red blue green
    yellow black white brown pink purple grey gray spring summer autumn winter nobel pulitzer oscar grammy telephone
    telegraph radio television widow kernel colonel affect effect dessert quiet quite casual causal statue statute
    complement compliment principal principle stationary stationery adapt adopt angel angle dairy diary loose lose marital
    martial trail trial sever severe form from united untied universe community communist organ organic schedule calendar
    population capital currency language government temperature restaurant restaurants pneumonia photosynthesis spaghetti
    address headache appointment distance shakespeare
    """)
)
"""Names and things that are spelled right: a word that is one of them is no misspelling of another."""

"""The words that are one token each. Changing them changes the ids: the models must then be trained anew."""

SPECIAL_TOKENS = ("<|user|>", "<|assistant|>", "<|tools|>", "<|call|>", "<|result|>", "<|end|>")

_AT_THE_START = """
Add Ann April August Ben Bye Calculate Can Continue Convert Count December Eve February Find Friday Give Good
Goodbye Hello Help Hey Hi How If Is It January July June Leo March Max May Mia Monday No November October Of Order
Put Reverse Saturday See September Sort Spell Subtract Sunday Tell Thank Thanks The There This Thursday Today Tom
Tuesday Wednesday What Which Who With Write Yes You Zoe
"""

_AFTER_A_SPACE = """
Ann April Ask August Ben Convert December Eve Express February Friday How I January July June Leo March Max May
Mia Monday November October Saturday September Sunday Thursday Tom Tuesday Wednesday What Which Zoe a about after
ago am and another answer apples are ascending away backwards balls before begin beginning big bigger books box
boxes but buys came can capital capitals cards case centimetres cents coins comes costs cups day days descending
do does dollars each earlier eggs end finish first follows found from gets gives grams greater greatest had has
have help hold holds hours if in is it its kilograms language larger largest last later least left less letter
letters long lost lower many maximum me measures metres minimum minus minutes model month months more morning
moved moves much next now number numbers of one or order owns pens plus question questions remain second seconds
sells sequence shells small smaller smallest stamps start still sum take takes than that the them then there these
third this tiny to total travels upper very was weeks weighs welcome which with word you
"""

WORDS: tuple[str, ...] = (*_AT_THE_START.split(), *(f" {word}" for word in _AFTER_A_SPACE.split()))
"""Words as they stand at the start of a text, and with the space before them elsewhere."""

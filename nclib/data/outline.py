"""The words and sentence patterns of the story grammar, `nclib.data.grammar`."""

CLASSES = {
    "girl": "Mia Anna Rosa Ella Nora Lucy Clara Ida Vera Maya Lena Ruth Tess Ivy Jane Olga",
    "boy": "Tom Ben Leo Sam Finn Max Otto Hugo Karl Noah Ali Rudi Jack Emil Paul Igor",
    "trait": "kind little clever shy brave curious lazy cheerful proud patient gentle fair stubborn noisy careful "
    "quiet polite dreamy bold grumpy",
    "look": "big shiny small strange pretty round heavy broken dusty tiny wooden golden striped soft smooth crooked "
    "bright rusty silver worn",
    "colour": "red blue green yellow white black brown purple pink grey",
    "weather": "sunny rainy warm cold windy cloudy foggy snowy stormy mild",
    "time": "day morning evening night afternoon",
    "home": "house cottage village tower farm tent cabin castle boat mill",
    "place": "forest park river garden beach hill market lake meadow barn bridge cave harbour school field pond valley "
    "mountain desert square",
    "object": "ball box kite key book doll hat stone drum lamp bell map cup boot coin shell feather mirror whistle "
    "basket ring candle wheel puppet blanket bottle flute clock crown ladder",
    "thing": "tree rock bush bench wall log fence table cart haystack stump barrel leaf well",
    "animal": "dog cat rabbit bird fox mouse frog bear duck swan horse goat turtle squirrel hen wolf bee hedgehog deer "
    "crow",
    "food": "cake bread soup apples honey cheese pie berries milk nuts jam porridge carrots eggs",
    "family": "mother father grandmother sister brother uncle aunt cousin",
    "feeling": "happy sad glad excited surprised afraid angry tired lonely calm worried jealous sleepy thankful",
    "did": "cleaned carried shook opened painted hugged kicked washed hid threw pushed turned dropped tapped wrapped "
    "lifted pulled polished rolled measured",
    "moved": "ran walked jumped danced climbed crept hopped skipped swam rode marched wandered",
    "spoke": "said asked cried whispered shouted laughed sang sighed",
    "manner": "slowly quickly quietly gladly carefully loudly softly suddenly gently bravely twice again",
    "where": "near behind under over beside around above inside",
    "lesson": "share listen wait help ask forgive try rest learn smile trust",
}

RECALLED = {"hero": ("girl", "boy"), "object": ("object",), "place": ("place",), "animal": ("animal",)}

AGREEMENT = {
    "He": ("hero", {"girl": "She", "boy": "He"}),
    "he": ("hero", {"girl": "she", "boy": "he"}),
    "his": ("hero", {"girl": "her", "boy": "his"}),
    "him": ("hero", {"girl": "her", "boy": "him"}),
    "child": ("hero", {"girl": "girl", "boy": "boy"}),
}

STORY = (
    (
        0.0,
        (
            "Once there was a %trait? girl named %girl .",
            "Once there was a %trait? boy named %boy .",
            "%girl was a %trait girl .",
            "%boy was a %trait boy .",
            "%girl lived in a %look? %home with her %family .",
            "%boy lived in a %look? %home with his %family .",
        ),
    ),
    (
        0.0,
        (
            "One %weather? %time $hero %moved to the %place .",
            "$He and $his %family %moved %manner? to a %look? %place .",
            "$hero was %feeling and went to the %place .",
        ),
    ),
    (
        0.0,
        (
            "$He saw a %look? %colour? %object .",
            "A %look? %object lay %where a %thing .",
            "Then $his %family gave $him a %colour? %object .",
            "In the $place $he found a %look %object and some %food .",
        ),
    ),
    (
        0.4,
        (
            "$hero %did the $object %manner? .",
            "$He %did it and felt %feeling .",
            "$He %moved %manner? %where the %thing with the $object .",
            "The $child sat %where a %thing and ate %food .",
        ),
    ),
    (
        0.0,
        (
            "A %trait? %animal came to the $place .",
            "Suddenly a %look? %animal %moved %where the %thing .",
            "$hero met a %trait %animal who ate %food .",
        ),
    ),
    (
        0.45,
        (
            "The $animal %did the $object too .",
            '" I am %feeling , " %spoke the $animal .',
            '" Give me the $object ! " %spoke the $animal %manner? .',
            '" It is mine , " %spoke $hero %manner? .',
            "The $animal %moved %manner? %where $him .",
            "$hero gave %food to the $animal .",
        ),
    ),
    (
        0.0,
        (
            "But the $object fell %where a %thing .",
            "But the $animal %did the $object and %moved away .",
            "$hero and the $animal %moved %where the $place .",
        ),
    ),
    (
        0.2,
        (
            "At last $he saw the $object %where the %thing .",
            "Now $his %family %did the %colour? $object .",
            '" Thank you , $hero , " %spoke the $animal .',
        ),
    ),
    (
        0.0,
        (
            "$hero learned to %lesson .",
            "They %moved home and were %feeling .",
            "The $child and the $animal liked to %lesson .",
            "The end .",
        ),
    ),
)

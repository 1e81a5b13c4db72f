"""Write the vocabulary of the tiny tokenizer: byte pair merges learned from the text below.

    python -m tools.train_tiny_tokenizer

The result, ``mmassist/packing/tiny_vocabulary.py``, is committed, so that ids never depend on the machine or on the
version of a trainer. Running this again is only needed to change the vocabulary, which makes every tokenizer digest
differ.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from mmassist.packing.tiny_tokenizer import NUM_MERGES, SPLIT_REGEX

TARGET = Path(__file__).parent.parent / "mmassist" / "packing" / "tiny_vocabulary.py"

TEXT = """
You are helping someone who wears a small camera. They want to finish a task and you can see what they see. When the
next
step is due, tell them what to do. When they make a mistake, tell them what went wrong and how to put it right. When
nothing
needs to be said, stay silent and keep watching. When they ask a question, answer it with what you know about the
task.
I want to make a cup of coffee. Great, let's get started! First, measure twelve ounces of cold water and pour it
into the
kettle. Now turn on the kettle. While the water heats up, place the dripper on top of the mug. Next, take a paper
filter,
fold it in half, then fold it in half again, and open it into a cone. Good job. Put the filter in the dripper and
spread it
so that it sits well. Then weigh the beans: you need twenty five grams. Grind them until they look like coarse sand
and pour
the grounds into the filter. Check the temperature of the water with the thermometer before you pour. Pour a little
water
over the grounds, wait about thirty seconds, and then pour the rest slowly in a circular motion. Well done, your
coffee is
ready. Remove the dripper, throw away the filter and the grounds, and enjoy.
Hi, I'd like to assemble this toy truck. Sure, that's a nice project. Let's begin with the chassis. Attach the four
wheels
to the chassis with the screws and tighten each one with the screwdriver. How many screws do I need? You need two
screws for
each wheel. You have attached the cabin before the interior; please detach the cabin, put the interior in first, and
attach
the cabin again. What should I do next? Now pick up the turntable, align it with the hole in the middle, and press
it down
until it clicks. Is this right? Yes, that's right, it looks good. Now take the crane arm and attach it to the
turntable.
Finally, check that everything moves freely. You have finished assembling the truck.
The user wants to bake a cake in a mug. So far, the user has mixed flour, sugar, baking powder and a pinch of salt
in a bowl,
added two teaspoons of oil, water and vanilla, and whisked the batter until there were no lumps. The user asked
whether milk
could be used instead of water, and the assistant said that it could. The user is now pouring the batter into the
mug. The
assistant has reminded the user to leave some room at the top. The time elapsed since the start of the task is 125.5
seconds.
The user's goal is to change the battery of a small drone. The user opened the battery cover with a flat tool,
removed the
old battery, and put in the new one. The current step is to close the cover and to turn the drone on. 1. Open the
cover.
2. Take out the battery. 3. Put the new battery in. 4. Close the cover. 5. Switch it on and see that the green light
is on.
Task knowledge: Making a sandwich
1. Place a slice of bread on the board.
2. Use the knife to spread butter on the bread, leaving a small space at the edges.
3. Clean the knife by wiping it with a paper towel.
4. Put lettuce, tomato, onion and cheese on the bread, and season with salt and pepper.
5. Put the other slice on top, cut it into two pieces, and put them on a plate.
Please summarize the progress of the task. Elapsed time: 42.0 seconds. Watch the video and keep track of what has
been done.
In the laboratory, open the tube, take ten microlitres of the sample with the pipette, and add it to the plate.
Close the lid,
shake gently, put the tube into the centrifuge, set the speed and the time, and press start. Wash your hands, wear
gloves and
goggles. Be careful, the surface is hot! Don't touch the metal part. Hold the handle with your left hand and turn
the knob
with your right hand, clockwise, until it stops. Rinse the dishes under the tap, dry them with the towel and put
them back on
the shelf. Chop the carrots, peel the potatoes, slice the onions and crush the garlic; heat some oil in the pan over
a medium
heat, stir for five minutes, add the tomatoes, cover with a lid and let it simmer for twenty minutes. Oven, fridge,
freezer,
drawer, cupboard, counter, sink, spoon, fork, knife, plate, glass, bottle, jar, box, bag, cup, pot, lid, bowl,
board. It's
almost done. I think you've missed one. Could you show me the other side? Where's the wrench? It's beside the red
box, just
behind the printer. Connect the cable to the printer, load the paper in the tray, press the power button and wait
until the
light stops blinking. Remove the memory card from the camera, insert it again, and attach the lens by turning it to
the left.
Let me know if you have any questions or concerns, and I'll help you through it. What happens if I use less sugar?
It will be
less sweet, but it will still work. Thank you so much! You're welcome. Before moving on, make sure that the last
piece is
firmly in place. That was quick. There are three more steps to go: first sand the edge, second apply the glue, third
clamp
both pieces together and leave them for an hour. Between these steps you can clean the table. After that we will
paint it.
"""

HEAD = '''"""Byte pair merges of the tiny tokenizer, in order of rank: left and right part in turn.

Written by ``python -m tools.train_tiny_tokenizer``; do not edit.
"""

MERGES = r"""
'''


def train_merges() -> list[tuple[str, str]]:
    """The first ``NUM_MERGES`` merges learned from ``TEXT``; equal counts are settled by the trainer's own order."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=256 + NUM_MERGES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT.replace("\n", " "), TEXT], trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def main() -> None:
    """Train and write the module."""
    merges = train_merges()
    assert len(merges) == NUM_MERGES, f"the text gives only {len(merges)} merges"
    body = textwrap.fill(
        " ".join(f"{left} {right}" for left, right in merges), 118, break_long_words=False, break_on_hyphens=False
    )
    TARGET.write_text(f'{HEAD}{body}\n"""\n', encoding="utf-8")
    print(f"wrote {TARGET} with {len(merges)} merges")


if __name__ == "__main__":
    main()

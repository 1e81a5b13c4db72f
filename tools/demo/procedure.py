"""The invented tasks of the sample. Nothing here is taken from a data set; only the form is the publishers'."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """A fine action, such as ``("tighten", "lower", "screw")``; ``none`` where a source writes that word."""

    verb: str
    adjective: str
    noun: str


@dataclass(frozen=True)
class Talk:
    """What is said around a step: by the instructor first, and maybe a question with its answer."""

    instruction: str
    question: str = ""
    answer: str = ""


@dataclass(frozen=True)
class Stage:
    """A coarse step. ``wrong`` is a first attempt that goes wrong, with the reason; the instructor then corrects it."""

    sentence: str
    main: Action
    actions: tuple[Action, ...]
    talk: Talk
    wrong: tuple[Action, str, str] | None = None  # action, explanation, correction


@dataclass(frozen=True)
class Procedure:
    """A whole task; ``summary`` tells it in one paragraph."""

    title: str
    summary: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Dish:
    """A recipe's session: names of the steps with what is said during each."""

    greeting: str
    steps: tuple[tuple[str, Talk], ...]
    farewell: str


TRIPOD = Procedure(
    "set up tripod",
    "The student sets up a small tripod and mounts a camera on it. He opens the three legs, extends them, attaches the "
    "quick plate under the camera, clicks it into the head, levels the head with the bubble and locks it. At the end "
    "he turns the camera on and checks the picture.",
    (
        Stage(
            "The student opens the three legs of the tripod.",
            Action("open", "none", "tripod_leg"),
            (
                Action("grab", "none", "tripod"),
                Action("open", "first", "tripod_leg"),
                Action("spread", "none", "tripod_leg"),
            ),
            Talk("Take the tripod out and open all three legs.", "As far as they go?", "Yes, until they stop."),
        ),
        Stage(
            "The student extends the lower leg sections.",
            Action("extend", "lower", "leg_section"),
            (Action("loosen", "none", "leg_clip"), Action("pull", "lower", "leg_section")),
            Talk("Now open the clips and pull the lower sections out."),
            (
                Action("pull", "upper", "leg_section"),
                "pulled the upper section while its clip was closed",
                "Not that one, the clip further down.",
            ),
        ),
        Stage(
            "The student locks the leg clips.",
            Action("lock", "none", "leg_clip"),
            (Action("press", "none", "leg_clip"), Action("push", "none", "tripod")),
            Talk("Close every clip and push down once to see that they hold."),
        ),
        Stage(
            "The student screws the quick plate to the camera.",
            Action("screw", "none", "quick_plate"),
            (
                Action("grab", "none", "camera"),
                Action("align", "none", "quick_plate"),
                Action("tighten", "none", "plate_screw"),
            ),
            Talk("Screw the plate under the camera.", "Which way does it point?", "The arrow goes to the lens."),
            (
                Action("align", "none", "quick_plate"),
                "the arrow pointed away from the lens",
                "Turn the plate round, please.",
            ),
        ),
        Stage(
            "The student puts the camera on the tripod head.",
            Action("mount", "none", "camera"),
            (Action("place", "none", "camera"), Action("close", "none", "plate_lever")),
            Talk("Set the camera on the head until the lever clicks."),
        ),
        Stage(
            "The student levels the head with the bubble.",
            Action("level", "none", "tripod_head"),
            (Action("tilt", "none", "tripod_head"), Action("turn", "none", "head_knob")),
            Talk("Bring the bubble into the ring and tighten the knob.", "Is that good enough?", "It is, well done."),
        ),
        Stage(
            "The student turns on the camera and checks the picture.",
            Action("turn_on", "none", "camera"),
            (Action("press", "none", "power_button"), Action("fold_out", "none", "camera_screen")),
            Talk("Switch it on and look whether the horizon is straight."),
        ),
    ),
)

LAMP = Procedure(
    "assemble desk lamp",
    "The student assembles a desk lamp from its parts. She fixes the rod to the base, threads the cable, attaches the "
    "arm and the shade, screws in the bulb and plugs the lamp in. One screw is first put in from the wrong side.",
    (
        Stage(
            "The student lays out the parts of the lamp.",
            Action("arrange", "none", "lamp_part"),
            (Action("open", "none", "box"), Action("take_out", "metal", "rod"), Action("place", "round", "lamp_base")),
            Talk("Put everything on the table and count four screws."),
        ),
        Stage(
            "The student fixes the rod to the base.",
            Action("fix", "metal", "rod"),
            (Action("insert", "long", "screw"), Action("tighten", "long", "screw")),
            Talk("Stand the rod on the base and screw it on.", "From below?", "Yes, the head stays under the felt."),
            (Action("insert", "long", "screw"), "put the screw in from above", "From below, so that it is flat."),
        ),
        Stage(
            "The student threads the cable through the rod.",
            Action("thread", "none", "cable"),
            (Action("push", "none", "cable"), Action("pull", "none", "cable")),
            Talk("Push the cable in at the foot and pull it out at the top."),
        ),
        Stage(
            "The student attaches the arm to the rod.",
            Action("attach", "none", "lamp_arm"),
            (
                Action("align", "none", "lamp_arm"),
                Action("insert", "short", "screw"),
                Action("tighten", "none", "wing_nut"),
            ),
            Talk("The arm goes on with the short screw and the wing nut."),
            (Action("tighten", "none", "wing_nut"), "left out the washer", "There is a washer missing under the nut."),
        ),
        Stage(
            "The student clips the shade to the arm.",
            Action("clip", "none", "lamp_shade"),
            (Action("hold", "none", "lamp_shade"), Action("clip", "none", "lamp_shade")),
            Talk("Now clip the shade on.", "Does it matter how far?", "Until both hooks catch."),
        ),
        Stage(
            "The student screws in the bulb.",
            Action("screw", "none", "bulb"),
            (Action("grab", "none", "bulb"), Action("screw", "none", "bulb")),
            Talk("Screw the bulb in by hand, gently."),
        ),
        Stage(
            "The student plugs in the lamp and switches it on.",
            Action("plug_in", "none", "cable"),
            (Action("plug_in", "none", "cable"), Action("press", "none", "lamp_switch")),
            Talk("Plug it in and press the switch."),
        ),
    ),
)

WATCH = Procedure(
    "change watch battery",
    "The student changes the battery of a wrist watch. He takes off the back with a case knife, lifts out the old "
    "battery, puts in the new one with the plus sign up, sets the seal and presses the back on. Then he sets the time.",
    (
        Stage(
            "The student lays the watch face down on the cloth.",
            Action("place", "none", "watch"),
            (Action("fold", "soft", "cloth"), Action("place", "none", "watch")),
            Talk("Put the watch face down on the cloth so nothing gets scratched."),
        ),
        Stage(
            "The student opens the back of the watch.",
            Action("open", "none", "case_back"),
            (Action("insert", "none", "case_knife"), Action("twist", "none", "case_knife")),
            Talk("Find the notch and twist the knife.", "Where is the notch?", "Next to the crown, on the right."),
            (
                Action("insert", "none", "case_knife"),
                "put the knife beside the notch",
                "A little further down, there is the notch.",
            ),
        ),
        Stage(
            "The student takes out the old battery.",
            Action("remove", "old", "battery"),
            (Action("lift", "none", "battery_clip"), Action("take_out", "old", "battery")),
            Talk("Lift the clip and take the old battery out with the tweezers."),
        ),
        Stage(
            "The student puts in the new battery.",
            Action("insert", "new", "battery"),
            (Action("open", "none", "battery_pack"), Action("insert", "new", "battery")),
            Talk("Put the new one in.", "Plus side up?", "Plus side up, exactly."),
            (Action("insert", "new", "battery"), "plus side was down", "It has to be turned over."),
        ),
        Stage(
            "The student sets the seal into its groove.",
            Action("set", "rubber", "seal"),
            (Action("grab", "none", "tweezers"), Action("place", "rubber", "seal")),
            Talk("Lay the rubber seal into the groove all round."),
        ),
        Stage(
            "The student presses the back on.",
            Action("press", "none", "case_back"),
            (Action("align", "none", "case_back"), Action("press", "none", "case_back")),
            Talk("Align the notch and press until it snaps."),
        ),
        Stage(
            "The student sets the time.",
            Action("set", "none", "watch"),
            (Action("pull", "none", "crown"), Action("turn", "none", "crown")),
            Talk("Pull out the crown and set the time.", "Is it running?", "The second hand moves, so yes."),
        ),
    ),
)

PLANT = Procedure(
    "repot plant",
    "The student moves a plant into a larger pot. She covers the hole with a shard, fills in soil, loosens the plant "
    "from its old pot, frees the roots, sets it in the middle, fills up and waters it.",
    (
        Stage(
            "The student covers the hole of the new pot.",
            Action("cover", "none", "drain_hole"),
            (Action("grab", "none", "pot_shard"), Action("place", "none", "pot_shard")),
            Talk("Lay a shard over the hole in the new pot."),
        ),
        Stage(
            "The student fills the first layer of soil.",
            Action("fill", "fresh", "soil"),
            (Action("scoop", "fresh", "soil"), Action("pour", "fresh", "soil")),
            Talk("Now three scoops of soil.", "Heaped ones?", "Level ones will do."),
        ),
        Stage(
            "The student takes the plant out of the old pot.",
            Action("remove", "none", "plant"),
            (Action("squeeze", "old", "pot"), Action("turn_over", "old", "pot"), Action("pull", "none", "plant")),
            Talk("Squeeze the old pot, turn it over and let the plant slide out."),
            (Action("pull", "none", "plant"), "pulled at the leaves", "Not at the leaves, hold it at the soil."),
        ),
        Stage(
            "The student loosens the roots.",
            Action("loosen", "none", "root"),
            (Action("shake", "none", "root"), Action("loosen", "outer", "root")),
            Talk("Loosen the outer roots with your fingers."),
        ),
        Stage(
            "The student sets the plant into the new pot.",
            Action("place", "none", "plant"),
            (Action("place", "none", "plant"), Action("straighten", "none", "plant")),
            Talk("Set it in the middle.", "How deep?", "As deep as it stood before."),
            (Action("place", "none", "plant"), "stood too deep", "It is too deep, put more soil under it."),
        ),
        Stage(
            "The student fills up the pot and presses the soil.",
            Action("press", "fresh", "soil"),
            (Action("pour", "fresh", "soil"), Action("press", "fresh", "soil")),
            Talk("Fill up to a finger below the rim and press it lightly."),
        ),
        Stage(
            "The student waters the plant.",
            Action("water", "none", "plant"),
            (Action("grab", "none", "watering_can"), Action("pour", "none", "water")),
            Talk("Give it water until some comes out below."),
        ),
    ),
)

COFFEE = Dish(
    "Hello, today we make one mug of coffee by hand.",
    (
        ("Fill kettle", Talk("Fill the kettle and switch it on.", "How much water?", "One and a half mugs.")),
        ("Place dripper", Talk("Set the dripper on your mug.")),
        ("Fold filter", Talk("Fold the seam of the filter and open it to a cone.", "Like this?", "Just like that.")),
        ("Weigh beans", Talk("Weigh the beans, about one handful.")),
        ("Grind beans", Talk("Grind them coarsely.", "Is this coarse enough?", "A little coarser would be fine.")),
        ("Wet grounds", Talk("Pour a little water, only to wet the grounds.")),
        ("Pour water", Talk("Now pour the rest in slow circles.")),
        ("Remove dripper", Talk("Wait for the last drops and take the dripper off.")),
    ),
    "That is it, enjoy your coffee.",
)

PINWHEEL = Dish(
    "Hi, we are going to roll some pinwheels.",
    (
        ("Place tortilla", Talk("Put the tortilla on the board.")),
        ("Spread nut butter", Talk("Spread the nut butter thinly.", "Up to the edge?", "Leave the rim free.")),
        ("Clean knife", Talk("Wipe the knife before the jelly.")),
        ("Spread jelly", Talk("A spoon of jelly on top.")),
        ("Roll tortilla", Talk("Roll it up, tight but not too tight.", "From this side?", "Any side is fine.")),
        ("Insert toothpicks", Talk("Five toothpicks, evenly spaced.")),
        ("Trim ends", Talk("Cut both ends off.")),
        (
            "Cut with floss",
            Talk("Cross the floss over the roll to cut.", "Why not the knife?", "It would squash."),
        ),
        ("Place on plate", Talk("Arrange them on the plate.")),
    ),
    "Very good, that was all.",
)

CAKE = Dish(
    "Welcome, this will be a small cake from the microwave.",
    (
        ("Place liner", Talk("Put the paper liner into the mug.")),
        ("Measure flour", Talk("Two level spoons of flour.", "This spoon?", "The larger one, please.")),
        ("Add sugar and baking powder", Talk("Add the sugar, the baking powder and a pinch of salt.")),
        ("Whisk dry ingredients", Talk("Whisk everything until it looks even.")),
        ("Add oil and water", Talk("Oil, water and the vanilla now.", "All at once?", "Yes, all at once.")),
        ("Whisk batter", Talk("Whisk until there are no lumps.")),
        ("Microwave cake", Talk("One minute in the microwave.", "At full power?", "Full power is right.")),
        ("Check cake", Talk("Pick it with a toothpick; it should come out dry.")),
        ("Add frosting", Talk("Let it cool and squeeze the frosting on top.")),
    ),
    "And that is a cake, well done.",
)

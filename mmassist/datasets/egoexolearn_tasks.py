"""EgoExoLearn's eight tasks, told in this project's own words.

The publisher names no recording's task. The dishes and protocols are those of the data set's paper; amounts, times and
further details differ between recordings and are left out.
"""

from __future__ import annotations

from mmassist.core.annotation import KnownTask

KITCHEN_TASKS = (
    KnownTask(
        "Twice-cooked Pork",
        (
            "Ready the aromatics: Peel and slice the ginger and garlic, and cut the scallion into short lengths.",
            "Boil the pork: Lay the piece of pork in a pot of water with some of the aromatics and cook it through.",
            "Pick the vegetables: Trim the greens or peppers, throw out what has wilted, and wash the rest.",
            "Cut the vegetables: Chop the washed vegetables into pieces of a bite.",
            "Slice the pork: Take the boiled pork out, let it cool a little, and cut it into thin slices.",
            "Fry the pork: Heat oil in the wok and fry the slices with the aromatics until their edges curl.",
            "Add the vegetables: Fry the vegetables briefly, then toss them together with the pork.",
            "Season: Stir in bean paste, soy sauce, salt or sugar, and taste.",
            "Plate: Turn off the heat and move the dish from the wok to a plate.",
        ),
    ),
    KnownTask(
        "Tofu Skin with Hot Pepper",
        (
            "Slice the tofu skin: Stack or roll the sheets and cut them into strips.",
            "Prepare the hot pepper: Wash the peppers, take the seeds out, and cut them into shreds.",
            "Ready the aromatics: Chop scallion, ginger and garlic.",
            "Boil with baking soda: Cook the strips in water with a pinch of baking soda until they are soft.",
            "Rinse: Drain the strips and wash them in cold water so that no soda is left.",
            "Make the sauce: Fry the aromatics in the pot, then add water and the seasonings.",
            "Simmer: Put the strips into the sauce and let them cook until it is nearly gone.",
            "Add the pepper: Toss in the shredded pepper and stir until it is just done.",
            "Plate: Take the dish out of the pot and arrange it on a plate.",
        ),
    ),
    KnownTask(
        "Stir-fried Potato, Eggplant and Green Pepper",
        (
            "Prepare the potato: Wash the potato and peel it.",
            "Prepare the eggplant: Wash the eggplant and cut off its stem.",
            "Prepare the green pepper: Wash the pepper, and remove stem and seeds.",
            "Cut the potato: Chop the potato into chunks or thick slices.",
            "Cut the eggplant: Chop the eggplant into chunks of the same size.",
            "Cut the green pepper: Tear or cut the pepper into pieces.",
            "Ready the aromatics: Mince the garlic, and chop scallion and ginger.",
            "Mix the sauce: Stir soy sauce, starch, sugar, salt and water together in a bowl.",
            "Cook the potato: Boil the potato until a chopstick goes in, then drain it.",
            "Fry the vegetables: Fry potato, eggplant and pepper in oil, one after the other, and lift them out.",
            "Bring it together: Fry the aromatics, return the vegetables, and stir in the sauce until it thickens.",
            "Plate: Scoop everything onto a plate.",
        ),
    ),
    KnownTask(
        "Moo Shu Pork",
        (
            "Slice the pork: Cut the pork into thin slices or strips.",
            "Marinate the pork: Mix it with cooking wine, soy sauce and starch, and let it rest.",
            "Prepare the vegetables: Soak the wood ear, and wash and slice it along with cucumber or carrot.",
            "Beat the eggs: Crack the eggs into a bowl and whisk them.",
            "Blanch the vegetables: Dip the wood ear and what else is firm into boiling water, then drain.",
            "Scramble the eggs: Fry the eggs in hot oil until they set, break them up, and put them aside.",
            "Fry the vegetables: Stir-fry the vegetables with scallion, ginger and garlic.",
            "Add the pork: Put the pork into the pan and fry it until its colour turns.",
            "Add the egg: Return the scrambled egg, season, and toss everything together.",
            "Plate: Move the dish from the pan to a plate.",
        ),
    ),
    KnownTask(
        "Tomato Dough Drop Soup",
        (
            "Ready the aromatics: Wash and chop the scallion, ginger and garlic.",
            "Peel the tomato: Score the tomato, scald it with hot water, and pull off its skin.",
            "Cut the tomato: Dice the peeled tomato.",
            "Beat the eggs: Crack the eggs into a bowl and stir them well.",
            "Fry the eggs: Pour the eggs into hot oil, fry them in pieces, and take them out.",
            "Fry the tomato: Fry the aromatics and the tomato until the juice runs.",
            "Add water: Pour water into the pot and bring it to the boil.",
            "Make the dough: Trickle water into flour and stir until it forms small crumbs of dough.",
            "Drop in the dough: Scatter the crumbs into the boiling soup, stirring so that they do not stick together.",
            "Season: Add salt and the other seasonings, and return the egg to the soup.",
            "Serve: Ladle the soup into a bowl.",
        ),
    ),
)

LAB_TASKS = (
    KnownTask(
        "Solid Phase Peptide Synthesis",
        (
            "Weigh: Weigh out the amino acid and the coupling reagents on a balance, and fill them into a tube.",
            "Couple: Dissolve them, add them to the resin in the reaction vessel, and leave it on the shaker.",
            "Deprotect: Drain the vessel, add the deprotecting solution with a syringe or pipette, and shake again.",
            "Filter: Switch on the water pump and wash the resin with solvent from a wash bottle, sucking it dry.",
            "Check: Take a few beads of resin into a small tube and test them, to see whether the step is complete.",
        ),
    ),
    KnownTask(
        "Total Protein Extraction",
        (
            "Get ready: Label the tubes, and take the culture dishes with the cells out of the incubator.",
            "Wash the cells: Remove the old medium and rinse the cells with buffer.",
            "Centrifuge: Collect the cells in tubes, balance them in the centrifuge, and spin them down.",
            "Prepare the dishes: Set out fresh dishes or tubes, and fill them with the solution they need.",
            "Transfer: Pipette the liquid over into the new dishes or tubes without stirring up what has settled.",
            "Look under the microscope: Put a sample below the microscope, and estimate the number of cells.",
            "Repeat: Do the same for the remaining samples, and put everything away.",
        ),
    ),
    KnownTask(
        "Cell Subculture",
        (
            "Get ready: Disinfect the bench, warm the medium, and take the flask out of the incubator.",
            "Wash: Suck off the old medium and rinse the cell layer with PBS.",
            "Digest: Cover the cells with trypsin until they come off, then stop it with medium.",
            "Count: Look at the cells under the microscope and determine how many there are.",
            "Prepare new dishes: Fill fresh dishes with medium and label them.",
            "Centrifuge: Spin the suspension in a tube, and pour off the liquid above the pellet.",
            "Transfer: Take the pellet up in new medium and divide it among the dishes.",
            "Incubate: Move each dish gently to spread the cells, and put it into the incubator.",
        ),
    ),
)

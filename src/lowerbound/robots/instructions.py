"""What to tell a robot of Meta-World's table: for each task phrasings to train with, to choose by and to test with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Phrasings:
    """One task in many words.

    train: what demonstrations are told by. validation: what settings are chosen by. near: held out, of words that
    training has. far: held out, and with no word of content that `train` has; a word counts by its stem.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    near: tuple[str, ...]
    far: tuple[str, ...]


SMALL = """
a all an and are as at be by can come could do for from get give go has have i in into is it its just let like make me
my need of off on onto out over please should so some take that the then there this to towards up us want was way we
what where which will with would you your
"""
SMALL_WORDS = frozenset(SMALL.split())
"""Words that say little by themselves; all others are words of content."""


def content(phrase: str) -> frozenset[str]:
    """The stems of a phrase's words of content: without their endings, so that "opening" and "open" are one.

    >>> sorted(content("Slide the drawers open"))
    ['drawer', 'open', 'slid']
    """
    words = re.findall(r"[a-z]+", phrase.lower())
    return frozenset(_stem(word) for word in words if word not in SMALL_WORDS)


def _stem(word: str) -> str:
    stem = re.sub(r"(?<=\w{3})(ing|ed|ly|es|s|e)$", "", word)
    return re.sub(r"([bdgklmnprt])\1$", r"\1", stem) if stem != word else stem


INSTRUCTIONS: Mapping[str, Phrasings] = {
    "drawer-open": Phrasings(
        train=(
            "open the drawer",
            "pull the drawer open",
            "pull out the drawer",
            "slide the drawer out",
            "please open the drawer",
            "draw the drawer towards you",
            "get the drawer open",
            "the drawer should be open",
            "tug the drawer handle towards you",
            "open up the green drawer",
            "pull the handle of the drawer",
            "move the drawer outwards",
            "let the drawer come out",
            "open that drawer all the way",
            "I want the drawer opened",
            "bring the drawer out",
            "could you open the drawer for me",
            "pull the green drawer out of its case",
            "leave the drawer open",
            "take the drawer handle and pull it",
        ),
        validation=(
            "opening the drawer is what I need",
            "make the drawer slide open",
            "drag the drawer out",
            "please have the drawer pulled out",
            "extend the drawer",
        ),
        near=(
            "slide open the green drawer",
            "would you pull that drawer out",
            "the drawer needs opening",
            "grab the drawer's handle and pull it towards you",
            "draw out the drawer",
        ),
        far=(
            "expose what is inside the cabinet",
            "reveal the contents of the desk tray",
            "haul the cabinet compartment forwards",
            "give me access to the inside of the cupboard",
            "I need something stored in the dresser",
        ),
    ),
    "drawer-close": Phrasings(
        train=(
            "close the drawer",
            "push the drawer shut",
            "push the drawer in",
            "slide the drawer in",
            "please close the drawer",
            "shut the drawer",
            "get the drawer closed",
            "the drawer should be closed",
            "press the drawer back into its case",
            "close up the green drawer",
            "push the drawer back",
            "move the drawer inwards",
            "let the drawer go back in",
            "close that drawer all the way",
            "I want the drawer shut",
            "put the drawer back in",
            "could you shut the drawer for me",
            "push the handle of the drawer away from you",
            "leave the drawer closed",
            "do not leave the drawer standing open, close it",
        ),
        validation=(
            "closing the drawer is what I need",
            "make the drawer slide shut",
            "shove the drawer in",
            "please have the drawer pushed in",
            "retract the drawer",
        ),
        near=(
            "slide shut the green drawer",
            "would you push that drawer in",
            "the drawer needs closing",
            "press on the drawer's handle until it is shut",
            "send the drawer back into its case",
        ),
        far=(
            "seal the cabinet again",
            "return the desk tray to its place",
            "shove the cabinet compartment inside",
            "nobody must see what is inside the cupboard",
            "tuck the dresser tray inside",
        ),
    ),
    "window-open": Phrasings(
        train=(
            "open the window",
            "slide the window open",
            "slide the window to the right",
            "push the window open",
            "please open the window",
            "move the window pane to the right",
            "get the window open",
            "the window should be open",
            "push the handle of the window rightwards",
            "open up the window",
            "let some air in through the window",
            "unclose the window",
            "open that window all the way",
            "I want the window opened",
            "could you open the window for me",
            "shift the window to the open side",
            "leave the window open",
            "let fresh air in",
            "take the window handle and push it open",
            "it is stuffy, open the window",
        ),
        validation=(
            "opening the window is what I need",
            "make the window slide open",
            "air the room",
            "please have the window opened",
            "move the window's handle to the right",
        ),
        near=(
            "slide open the window pane",
            "would you push that window open",
            "the window needs opening",
            "move the window to the right side",
            "some fresh air through the window, please",
        ),
        far=(
            "ventilate this place",
            "let the breeze blow inside",
            "unlatch the glass and glide it aside",
            "it smells here, we need ventilation",
            "allow the wind to enter",
        ),
    ),
    "window-close": Phrasings(
        train=(
            "close the window",
            "slide the window shut",
            "slide the window to the left",
            "push the window closed",
            "please close the window",
            "move the window pane to the left",
            "get the window closed",
            "the window should be closed",
            "push the handle of the window leftwards",
            "shut the window",
            "keep the cold out, shut the window",
            "close up the window",
            "close that window all the way",
            "I want the window shut",
            "could you shut the window for me",
            "shift the window to the closed side",
            "leave the window closed",
            "keep the rain out",
            "take the window handle and push it closed",
            "there is a draught, close the window",
        ),
        validation=(
            "closing the window is what I need",
            "make the window slide shut",
            "keep the noise of the street out",
            "please have the window closed",
            "move the window's handle to the left",
        ),
        near=(
            "slide shut the window pane",
            "would you push that window shut",
            "the window needs closing",
            "move the window to the left side",
            "it is cold, the window please",
        ),
        far=(
            "stop the breeze from blowing inside",
            "seal the glass against the weather",
            "block the wind from entering",
            "it is chilly and windy in here",
            "prevent the storm from getting in",
        ),
    ),
    "button-press": Phrasings(
        train=(
            "press the button",
            "push the button",
            "push the red button",
            "press the red button",
            "please press the button",
            "hit the button",
            "press down the button",
            "the button should be pressed",
            "push the button in",
            "press that button all the way in",
            "I want the button pressed",
            "could you press the button for me",
            "press the stop button",
            "tap the button on the yellow box",
            "touch the button and push it in",
            "put pressure on the button",
            "press the button on the box",
            "use the button",
            "activate the button",
            "give the red button a push",
        ),
        validation=(
            "pressing the button is what I need",
            "make the button go in",
            "hit the emergency stop",
            "please have the button pushed",
            "click the button",
        ),
        near=(
            "push in the red button",
            "would you hit that button",
            "the button needs pressing",
            "tap the stop button",
            "activate the red button on the yellow box",
        ),
        far=(
            "trigger the switch",
            "flip the alarm knob",
            "ring the buzzer",
            "turn the machine off with its switch",
            "sound the alarm",
        ),
    ),
    "push": Phrasings(
        train=(
            "push the block",
            "push the puck to the mark",
            "slide the block to the green mark",
            "move the puck across the table",
            "please push the block",
            "shove the puck to the goal",
            "get the block to the mark",
            "the block should be on the green mark",
            "push the red block along the table",
            "slide the puck over the table",
            "move the block to the target",
            "push that block to the goal",
            "I want the puck on the target",
            "bring the block to the mark without lifting it",
            "could you push the puck for me",
            "drag the puck to the green spot",
            "push the red puck forwards",
            "keep the block on the table and slide it",
            "push the puck",
            "move the red block to the green spot",
        ),
        validation=(
            "pushing the block is what I need",
            "make the puck slide to the goal",
            "nudge the block to the mark",
            "please have the block on the mark",
            "sweep the puck across the table",
        ),
        near=(
            "slide the red puck to the target",
            "would you shove that block to the goal",
            "the puck needs pushing",
            "push the block over to the green mark",
            "drag the block along the table to the spot",
        ),
        far=(
            "scoot the cylinder to where the dot is",
            "nudge the disc over the surface",
            "the round thing belongs on the dot",
            "sweep the cylinder over the desktop",
            "propel the little disc ahead",
        ),
    ),
    "pick-place": Phrasings(
        train=(
            "pick up the block",
            "lift the puck",
            "lift the block into the air",
            "grasp the puck and raise it",
            "please pick up the block",
            "raise the puck above the table",
            "get the block off the table",
            "the block should be in the air",
            "grab the red block and lift it",
            "take the puck up",
            "hold the block up high",
            "pick that puck up",
            "I want the puck lifted",
            "pick the block up and hold it over the mark",
            "could you pick up the puck for me",
            "carry the puck up above the green mark",
            "raise the red puck",
            "grip the block and bring it up",
            "pick up the puck",
            "lift the red block high over the green spot",
        ),
        validation=(
            "picking up the block is what I need",
            "make the puck rise into the air",
            "hoist the block",
            "please have the block lifted",
            "seize the puck and raise it",
        ),
        near=(
            "lift up the red puck",
            "would you grab that block and raise it",
            "the puck needs picking up",
            "hold the block high in the air",
            "take the block and carry it up",
        ),
        far=(
            "hoist the cylinder",
            "elevate the disc",
            "seize the round thing with your fingers",
            "suspend the cylinder overhead",
            "scoop the little disc upwards",
        ),
    ),
}
"""Phrasings by task, written for this library before anything was trained on them."""

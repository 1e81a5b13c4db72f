"""The fixed sentences of a sample: who the assistant is or what it is asked, what it knows, the request to sum up."""

from __future__ import annotations

from mmassist.core.annotation import Request
from mmassist.core.fingerprint import digest

# One is drawn per sample, so that a model does not hang on one wording.
PERSONAS = (
    "You are a proactive assistant who follows the user's camera and speaks up when the next step is due.",
    "You are watching a live view of the user's work. Guide the user through the task without being asked.",
    "You assist a person who is busy with a task. Say what helps at the right moment and stay silent otherwise.",
    "You are a helpful companion. Keep an eye on the stream, answer questions and point out mistakes early.",
    "You are an attentive assistant. Watch the task step by step and decide when the user needs a word from you.",
    "You see what the user sees. Offer instructions, corrections and answers in time, and never interrupt for nothing.",
)
SUMMARY_PERSONA = "You watch a live view of a task. Keep track of what has been done so far."
# Training and evaluation code finds these two by their first words.
SUMMARY_REQUEST = "Please summarize the progress of the task so far."
KNOWLEDGE_PREFIX = "Task knowledge:"

# Likewise one per sample, where captions are packed instead of a dialog.
REQUESTS: dict[Request, tuple[str, ...]] = {
    Request.NARRATE_WEARER: (
        "Narrate what the camera wearer C does while the video plays.",
        "C wears the camera. Tell each action of C as soon as it can be seen.",
        "Follow this first-person video and report what C is doing, one short sentence at a time.",
        "You see through the eyes of C. Put every action of C into words the moment it happens.",
        "Comment on the stream: say what C does whenever C starts something new, and be quiet in between.",
        "Keep a running account of the actions of C, the person behind the camera.",
        "Watch C at work and state briefly what C does now.",
        "Write down the actions of C in the order in which the video shows them.",
    ),
    Request.DESCRIBE_CLIP: (
        "You are given short clips. Say which action each of them shows.",
        "After every clip, name the action that was performed in it.",
        "What is being done? Answer for each of the following clips with one short phrase.",
        "Put the action in each clip into a few words.",
        "Watch the clips one by one and describe what the hands do in each.",
    ),
    Request.CAPTION_IMAGE: (
        "Give a short description of each picture.",
        "Say in one sentence what each of these images shows.",
        "Write a brief caption for every image you see.",
        "Look at the pictures one after the other and tell in few words what is in each.",
        "For every image, put what matters in it into a short sentence.",
        "Sum up the content of each picture in a line.",
    ),
    Request.LIST_OBJECTS: (
        "Name the objects that each picture shows.",
        "List what things can be seen in every image, with their number where there are several.",
        "Which objects are in these pictures? Answer for each with a list.",
        "Write down all objects you recognise in each image, separated by commas.",
        "Take stock of every picture: which things are there, and how many of them?",
        "For each image, enumerate the objects in view.",
    ),
}


def knowledge_text(knowledge: str) -> str:
    """The system message that hands a recipe or manual to the assistant."""
    return f"{KNOWLEDGE_PREFIX} {knowledge.strip()}"


def wording_revision(request: Request | None = None) -> str:
    """Digest of all sentences of dialogs, or of those of ``request``, for fingerprints."""
    if request is not None:
        return digest(list(REQUESTS[request]))
    return digest([list(PERSONAS), SUMMARY_PERSONA, SUMMARY_REQUEST, KNOWLEDGE_PREFIX])

"""The fixed sentences of a sample: who the assistant is, what it knows, and the request to sum up."""

from __future__ import annotations

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


def knowledge_text(knowledge: str) -> str:
    """The system message that hands a recipe or manual to the assistant."""
    return f"{KNOWLEDGE_PREFIX} {knowledge.strip()}"


def wording_revision() -> str:
    """Digest of all sentences, for fingerprints."""
    return digest([list(PERSONAS), SUMMARY_PERSONA, SUMMARY_REQUEST, KNOWLEDGE_PREFIX])

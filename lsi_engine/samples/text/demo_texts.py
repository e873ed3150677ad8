"""A synthetic corpus: messages to the service desk of a shop that does not exist, with known faults.

Composed at random from the phrases below, which were written for this project. It is there to try the pages and the
command line without any download; nothing measured on it says anything about real texts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lsi_engine.samples.files import content_key
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.source import Source

#: Messages in all, and among them those under a wrong label and those that two labels fit.
MESSAGES, MISLABELLED, AMBIGUOUS = 400, 24, 24

OPENINGS = (
    "Hello,", "Good morning,", "Hi there,", "Dear team,", "To whom it may concern,", "Second message about this:",
    "I hope you can help.", "This is getting urgent.", "Just a short question.", "I have been a customer for years.",
    "Sorry to bother you again,", "My colleague told me to write to you:",
)  # fmt: skip
CLOSINGS = (
    "Please advise.", "Thank you in advance.", "Kind regards", "Please answer by Friday.", "What should I do?",
    "I would be glad of a quick answer.", "Many thanks for your help.", "Is anybody looking into this?",
    "You can reach me by phone as well.", "Looking forward to hearing from you.",
)  # fmt: skip
CONCERNS = {
    "billing": (
        "my card was charged twice for invoice {n}", "the invoice {n} shows the wrong amount",
        "I was promised a refund of {n} euros and nothing has arrived in my account",
        "the discount code was not deducted from the total", "the VAT on bill {n} is not correct",
        "my bank returned the direct debit over {n} euros", "you have raised the monthly fee without telling me",
        "I need a receipt for the payment of {n} euros", "the instalment plan was billed in full",
        "I paid invoice {n} last week and still got a reminder with a late fee",
    ),
    "delivery": (
        "parcel {n} has not moved in the tracking for days", "the courier left the box in the rain",
        "half of the order {n} is missing from the package", "the driver never rang the bell",
        "my shipment went to the old street address", "the parcel {n} arrived with a crushed corner",
        "the tracking says delivered, and nobody at the depot has the parcel",
        "I would like to move the delivery of order {n} to Thursday", "customs has kept the package for {n} days",
        "the pickup point was closed when the courier came",
    ),
    "technical": (
        "the app crashes as soon as I open the camera", "the printer shows error {n} after the update",
        "the screen stays black when I press the power button", "the device does not find the wireless network",
        "since firmware {n} the battery is empty within an hour", "the speaker crackles at any volume",
        "the installer stops at {n} percent and rolls everything back", "the sensor reads {n} degrees too much",
        "bluetooth drops the connection every few minutes", "the web page freezes in my browser when I scroll",
    ),
    "account": (
        "I cannot log in although the password is right", "please delete my profile and all data in it",
        "the link for the new password never comes", "I want to change the e-mail address of user {n}",
        "somebody else has signed in with my name", "my profile is locked after {n} wrong attempts",
        "the two-step code arrives too late to be accepted", "please merge my two user names into one",
        "the newsletter keeps coming although I unsubscribed {n} times",
        "my access rights are gone since I changed the user name",
    ),
}  # fmt: skip


def demo_texts() -> SampleSet:
    """400 synthetic English messages in four classes, the same ones on every machine.

    24 stand under a wrong label: ``true_label`` has the right one and ``corrupted`` is true. 24 others raise two
    concerns of different classes and carry one of the two labels, which is not wrong. The column ``planted`` says so of
    both ("mislabelled", "ambiguous: billing or delivery"; "" for the rest).
    """
    random = np.random.default_rng(20_260_101)
    classes = sorted(CONCERNS)

    def concern(label: str) -> str:
        return str(random.choice(CONCERNS[label])).replace("{n}", str(random.integers(2, 990)))

    rows: list[tuple[str, str, str, str]] = []
    seen: set[str] = set()
    while len(rows) < MESSAGES:
        truth = classes[len(rows) % len(classes)]
        other = str(random.choice([name for name in classes if name != truth]))
        label, planted, middle = truth, "", concern(truth)
        if len(rows) < MISLABELLED:
            label, planted = other, "mislabelled"
        elif len(rows) < MISLABELLED + AMBIGUOUS:
            planted = f"ambiguous: {' or '.join(sorted((truth, other)))}"
            middle += f", and {concern(other)}"
        elif random.random() < 0.4:
            middle += f". Besides, {concern(truth)}"
        text = f"{random.choice(OPENINGS)} {middle}. {random.choice(CLOSINGS)}"
        if text not in seen:
            seen.add(text)
            rows.append((label, truth, planted, text))
    rows = [rows[at] for at in random.permutation(MESSAGES)]
    table = pd.DataFrame(rows, columns=["label", "true_label", "planted", "text"], dtype="str")
    table.insert(0, "sample_id", [f"message-{number:04d}" for number in range(MESSAGES)])
    table.insert(1, "name", [f"synthetic message {number}" for number in range(MESSAGES)])
    table["content"] = [content_key(text.encode()) for text in table["text"]]
    table = table.astype({"sample_id": "str", "name": "str", "content": "str"})
    table["corrupted"] = (table["label"] != table["true_label"]).astype(bool)
    return SampleSet("demo-texts (synthetic)", "text", table, {"kind": "demo_texts"})


DEMO_TEXTS = Source(demo_texts, "Synthetic demo messages", group="Texts", command="demo-texts", modality="text")

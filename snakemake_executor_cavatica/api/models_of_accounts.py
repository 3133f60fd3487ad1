"""The shapes of what is asked before a run: who pays for tasks, which apps there are."""

from __future__ import annotations

from .fields import Cost, Document, Flag, Id, Text


class BillingGroup(Document):
    """What pays for tasks. `balance` is what is left (documented in examples)."""

    id: Id
    name: Text = ""
    disabled: Flag = False
    pending: Flag = False
    balance: Cost = None


class App(Document):
    """An app of a listing; `id` is `owner/project/name`, maybe with a revision behind it."""

    id: Id

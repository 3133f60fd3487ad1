"""The shapes of what few ask: who pays for tasks and how much, which apps there are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .fields import Cost, Document, Flag, Id, Number, Text


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


class AnalysisCost(Document):
    """What one task has cost, with six decimals; `id` is the task's (documented)."""

    id: Annotated[Id, Field(alias="analysis_id")]
    analysis_cost: Cost = None
    refunded_amount: Number = None

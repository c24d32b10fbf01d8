"""One attempt to get a quote verified: the simulated platform feeds the call that real quotes take."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from guest.evidence.collateral import Collateral
from guest.evidence.dcap import (
    Appraisal,
    QuotePolicy,
    VerifiedQuote,
    verify_any_quote,
    verify_quote,
)
from guest.evidence.roots import DEVELOPMENT, AttestationRoot
from guest.evidence.tcb import STRICT
from guest.protocol.errors import MalformedInput, Reason, Refused
from host.devplatform.tcbdata import Scenario, make_collateral
from host.devplatform.tdquote import TD10, QuotingEnclave, TdReport

NOW = 1_790_000_000


@dataclass(frozen=True)
class Attempt:
    """One quote with its collateral, good unless something in it is replaced."""

    scenario: Scenario = field(default_factory=Scenario)
    report: TdReport = field(default_factory=TdReport)
    enclave: QuotingEnclave = field(default_factory=QuotingEnclave)
    version: int = 4
    body: int = TD10
    policy: QuotePolicy = STRICT
    root: AttestationRoot = DEVELOPMENT
    now: int = NOW
    edit_quote: Callable[[bytes], bytes] = lambda quote: quote
    edit_collateral: Callable[[Collateral], Collateral] = lambda collateral: collateral

    def but(self, **changes: object) -> "Attempt":
        return replace(self, **changes)

    @property
    def quote(self) -> bytes:
        return self.edit_quote(
            self.enclave.quote(self.report, version=self.version, body=self.body)
        )

    @property
    def collateral(self) -> Collateral:
        made = make_collateral(self.now, self.scenario)
        return self.edit_collateral(Collateral(*[getattr(made, n) for n in made.__slots__]))

    def verify(self) -> VerifiedQuote:
        return verify_quote(
            self.quote, self.collateral, now=self.now, policy=self.policy, root=self.root
        )

    def appraise(self) -> Appraisal:
        return verify_any_quote(
            self.quote, self.collateral, now=self.now, policy=self.policy, root=self.root
        )

    def refused(self) -> Reason:
        with pytest.raises(Refused) as caught:
            self.verify()
        assert "\n" not in str(caught.value)
        return caught.value.reason

    def malformed(self) -> str:
        with pytest.raises(MalformedInput) as caught:
            self.verify()
        return str(caught.value)


@dataclass(frozen=True)
class Sample:
    """One of Intel's real samples, from the data set's own table."""

    quote: bytes
    collateral: Collateral


Samples = Callable[[str], Sample]

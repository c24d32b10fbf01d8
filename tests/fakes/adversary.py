"""What a hostile host can make by itself: forged documents, answers and invented networks.

It owns the chain that it shows, other images, debug machines, and quotes that apps may ask for on the
right image. It does not own a machine of the right image that signs what the host likes: with that the
secret would be its own by right.
"""

import hashlib
from dataclasses import dataclass, field

from guest.core.identity import Identity
from guest.evidence import collateral as collateral_format
from guest.evidence.collateral import Collateral
from guest.protocol import document as document_format
from guest.protocol.digests import Domain, commitment, digest, document_hash, report_data
from guest.protocol.document import UnverifiedDocument
from guest.protocol.keys import EpochKeys
from guest.protocol.link import HandedOver, OnboardItem, PostBootstrap, PostOnboards, PostRegister
from guest.protocol.messages import Bootstrap, Handover, Onboard, Register, RegisterTx
from guest.protocol.network import Network
from guest.protocol.primitives import keccak256, seal
from guest.protocol.secret import Secret
from host.devplatform.registers import BootRegisters, registers_for
from host.devplatform.tcbdata import make_collateral
from host.devplatform.tdquote import QuotingEnclave, TdReport
from tests.fakes.fake_chain import Block, FakeChain
from tests.fakes.guest_shell import IMAGE, SeededEntropy
from tests.fakes.key_manager import KeyManager, Propose

EMPTY_LOG = b"\xc0"
OTHER_IMAGE = registers_for("an image that nobody allowed")
CIPHERTEXT_SIZE = 1168


@dataclass(frozen=True, slots=True)
class Forgery:
    """How a document is wrong. The default is a good one: `Forger` needs a reason to use it."""

    registers: BootRegisters = IMAGE
    td_attributes: int = 1 << 28
    rtmr3: bytes = bytes(48)
    event_log: bytes = EMPTY_LOG
    report_data: bytes | None = None
    other_key: bool = False
    collateral_age: int = 3600
    tamper: bool = False
    claimed_image: bytes | None = None
    broken_key: bool = False


@dataclass(slots=True)
class Forger:
    """Makes registrations and answers with keys of its own, for one network."""

    network: Network
    name: str = "forger"
    _count: int = 0
    made: list[Identity] = field(default_factory=list)

    def identity(self) -> Identity:
        """Keys that no guest knows."""
        self._count += 1
        self.made.append(Identity(SeededEntropy(f"{self.name}/{self._count}")))
        return self.made[-1]

    def registration(self, anchor: Block, now: int, forgery: Forgery) -> PostRegister:
        """A registration that the contract takes, with a document wrong in the given way."""
        identity = self.identity()
        public = identity.decryption_key.public
        if forgery.broken_key:
            public = b"\xff" * len(public)
        image = forgery.claimed_image or forgery.registers.measurement_id
        message = Register(identity.address, keccak256(public), image, anchor.number, anchor.hash)
        document = self.document(message, public, now, forgery)
        signed = RegisterTx(digest(self.network.domain, message), document_hash(document))
        signature = identity.sign(self.network.domain, signed)
        return PostRegister(f"register/{identity.address.hex()}", message, signature, document)

    def document(
        self, message: Register | Bootstrap, public: bytes, now: int, forgery: Forgery
    ) -> bytes:
        """A document of these claims."""
        if forgery.other_key:
            public = self.identity().decryption_key.public
        r = forgery.registers
        report = TdReport(
            report_data=forgery.report_data or report_data(self.network.domain, message),
            mrtd=r.mrtd,
            rtmrs=(r.rtmr0, r.rtmr1, r.rtmr2, forgery.rtmr3),
            td_attributes=forgery.td_attributes,
        )
        quote = bytearray(QuotingEnclave().quote(report))
        if forgery.tamper:
            quote[48 + 520 + 3] ^= 1  # report data, under the signature
        return document_format.encode(
            UnverifiedDocument(
                version=document_format.VERSION,
                register=message if isinstance(message, Register) else None,
                bootstrap=message if isinstance(message, Bootstrap) else None,
                encryption_key=public,
                quote=bytes(quote),
                event_log=forgery.event_log,
                collateral=_collateral(now, forgery.collateral_age),
            )
        )

    def garbage(self, by: bytes, attempt: int = 0, salt: bytes = b"") -> HandedOver:
        """An answer whose ciphertext was never sealed."""
        noise = hashlib.shake_256(b"garbage" + salt).digest(CIPHERTEXT_SIZE)
        return HandedOver(by, 1, attempt, noise)


@dataclass(slots=True)
class RogueMember:
    """A member whose memory the host reads: it signs what it likes, with the member's own key."""

    identity: Identity
    domain: Domain

    def answer(
        self, register: PostRegister, attempt: int, view: Block, ciphertext: bytes
    ) -> PostOnboards:
        """A signed hand-over of any bytes at all."""
        node, by = register.message.node, self.identity.address
        c = commitment_of(register, self.domain)
        item_hash = keccak256(ciphertext)
        message = Onboard(node, by, 1, attempt, c, view.number, view.hash, item_hash)
        item = OnboardItem(node, attempt, c, ciphertext)
        signature = self.identity.sign(self.domain, message)
        key = f"rogue/{node.hex()}/{attempt}"
        return PostOnboards(key, False, by, 1, view.number, view.hash, (item,), signature)

    def wrong_secret(self, register: PostRegister, attempt: int) -> bytes:
        """A ciphertext that opens, to a secret that is not the network's."""
        c = commitment_of(register, self.domain)
        handover = Handover(register.message.node, self.identity.address, 1, attempt, c)
        public = document_format.decode(register.document).encryption_key
        return seal(Secret(b"\x5a" * 32), public, digest(self.domain, handover))


def commitment_of(register: PostRegister, domain: Domain) -> bytes:
    """C of a registration."""
    named = document_hash(register.document)
    return commitment(RegisterTx(digest(domain, register.message), named))


@dataclass(frozen=True, slots=True)
class InventedNetwork:
    """A chain that a host made up, with the contract on it and a secret that the host knows.

    A guest that believed all of this would format its disk with the host's keys.
    """

    contract: KeyManager
    keys: EpochKeys
    bootstrap: PostBootstrap

    @property
    def chain(self) -> FakeChain:
        """The invented chain."""
        return self.contract.chain


def invent(network: Network, forgery: Forgery, *, like: FakeChain) -> InventedNetwork:
    """Make up a chain beside `like`, as long and as late, whose first node is the host's own."""
    chain = FakeChain(
        contract=network.contract,
        chain_id=network.chain_id,
        finality=like.finality,
        witness_key=b"\x66" * 32,
        salt=b"invented",
    )
    contract = KeyManager(chain, network)
    image = forgery.claimed_image or forgery.registers.measurement_id
    contract.do(Propose(image), owner=True)
    while chain.head.number + 4 < like.head.number:
        chain.mine()
    chain.mine(seconds=max(1, like.head.timestamp - chain.head.timestamp))
    keys, bootstrap = invented_bootstrap(network, image, chain.head, forgery)
    contract.do(bootstrap, owner=True)
    for _ in range(chain.finality + 1):
        chain.mine()
    return InventedNetwork(contract, keys, bootstrap)


def invented_bootstrap(
    network: Network, image: bytes, anchor: Block, forgery: Forgery
) -> tuple[EpochKeys, PostBootstrap]:
    """A Bootstrap that the contract would take, by an identity and a secret of the host's own."""
    forger = Forger(network, "inventor")
    identity = forger.identity()
    keys = EpochKeys(network.network_id, 1, Secret(b"\x13" * 32))
    message = Bootstrap(
        identity.address,
        identity.encryption_key_hash,
        image,
        anchor.number,
        anchor.hash,
        keys.addresses.x_pub,
        keys.addresses.app_root,
    )
    public = identity.decryption_key.public
    document = forger.document(message, public, anchor.timestamp, forgery)
    signatures = identity.sign(network.domain, message), keys.sign(network.domain, message)
    return keys, PostBootstrap("bootstrap", message, *signatures, document)


def _collateral(now: int, age: int) -> bytes:
    made = make_collateral(now - age + 3600)
    names = Collateral.__dataclass_fields__
    return collateral_format.encode(Collateral(**{n: getattr(made, n) for n in names}))

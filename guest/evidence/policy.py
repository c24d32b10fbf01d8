"""What a verified quote must say before it can admit a node.

Owns the comparison of measurements, RTMR3 and report data. Genuineness, attributes and TCB are
settled in `guest.evidence.dcap`, which alone makes the `VerifiedQuote` that is asked for here.
"""

from guest.evidence.dcap import VerifiedQuote
from guest.evidence.eventlog import RTMR_AT_BOOT, Event
from guest.protocol.digests import measurement_id as digest_of_measurements
from guest.protocol.errors import Reason, Refused


def check_join_quote(
    quote: VerifiedQuote,
    *,
    report_data: bytes,
    measurement_id: bytes,
    event_log: tuple[Event, ...],
) -> None:
    """Refuse a quote that is not of this message, this image, or from before the seal.

    `report_data` is all 64 bytes that the message wants, `measurement_id` the 32 that it names.
    RTMR3 must be at its boot value and the log empty: apps choose report data freely on the same
    image, but they start only after the guest has extended RTMR3, which nothing takes back.
    Raises `Refused`.
    """
    if len(report_data) != 64 or quote.report_data != report_data:
        raise Refused(
            Reason.QUOTE_REPORT_DATA,
            "the quote is not for this message",
            got=quote.report_data,
            expected=report_data,
        )
    if quote.rtmr3 != RTMR_AT_BOOT:
        raise Refused(
            Reason.QUOTE_RTMR3,
            "RTMR3 has left its boot value",
            got=quote.rtmr3,
            mend="Reboot: a node that was sealed cannot join again.",
        )
    if event_log:
        raise Refused(Reason.QUOTE_EVENT_LOG, "the log has events but RTMR3 is at its boot value")
    measured = (quote.mrtd, quote.rtmr0, quote.rtmr1, quote.rtmr2)
    if not all(any(register) for register in measured):
        raise Refused(Reason.QUOTE_MEASUREMENT, "a measurement register is unset")
    found = digest_of_measurements(quote.tee_type, *measured)
    if found != measurement_id:
        raise Refused(
            Reason.QUOTE_MEASUREMENT,
            "the quote is of another image",
            got=found,
            expected=measurement_id,
        )

"""Pure planning: `plan(observed, now) -> Plan`. No I/O, no clock, no kopf, no kubernetes, no asyncio."""

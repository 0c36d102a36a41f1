"""An ADS1115 in software, below the real driver: what works there works on the chip."""

"""The prompt pipeline: lines, inline LoRAs, wildcards, arrays, styles and expansion."""

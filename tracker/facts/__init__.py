"""Facts over time: disclosures, capital, corporate actions, prices."""

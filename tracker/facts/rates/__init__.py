"""Protocol rates of liquid staking tokens: read hourly, judged, stored beside the prices."""

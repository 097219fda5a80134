"""The registry: entities, wallets, labels and packs, watch set versions."""

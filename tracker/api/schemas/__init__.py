"""What the API says and takes, as pydantic models: the source of OpenAPI and of the page.

Conventions of every model: times are UTC, `amount` is a decimal string of signed base units
(satoshi, wei, token units), `quantity` the same in whole coins, money that ends in `_usd` a decimal
string of US dollars, ratios decimal strings. Unknown is null, with the reason beside it.
"""

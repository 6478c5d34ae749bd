"""The recipe of the embedded pack's vision-language model: theatre in, weights out."""

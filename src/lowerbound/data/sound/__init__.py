"""Sound: files of it, its spectrograms, and the way back from a spectrogram to sound."""

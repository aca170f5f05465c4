# A study over two days: trainings run by hand, or in another system, and CSV goes in and out.
set -e
cat > space.yaml <<END
choices:
  width: [16, 32, 64]
  activation: [relu, gelu]
  layers: {choices: {kernel: [3, 5], expansion: [1, 2, 4]}, times: [1, 2, 3]}
END

train() { # stands for the cluster: reads trials, writes their results, and one of them fails
    python -c "
import sys, pandas as pd
trials = pd.read_csv(sys.argv[1]).astype({'perplexity': float, 'failed': object})
trials['perplexity'] = 100 / trials['width'] + trials['layers.0.kernel']
trials.loc[trials.index[:1], ['perplexity', 'failed']] = [float('nan'), 'out of memory']
trials.to_csv(sys.argv[2], index=False)" "$1" "$2"
}

# The first day
python -m acenas.study new lab --space space.yaml --budget 6 --objective "min perplexity"
python -m acenas.study ask lab > monday.csv
train monday.csv monday_done.csv

# The second day
python -m acenas.study tell lab monday_done.csv
python -m acenas.study ask lab > tuesday.csv
train tuesday.csv tuesday_done.csv
python -m acenas.study tell lab tuesday_done.csv
python -m acenas.study show lab
python -m acenas.study report lab

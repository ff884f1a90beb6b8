//! An option for every row of the recipe's table.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::recipe::{Applies, FIELDS, Field, FieldKind, Group, Recipe, change, change_typed};

/// Fields with their new values.
type Changes = Vec<(&'static Field, Value)>;

/// The options of a recipe that were given, each with its values.
#[derive(Clone, Default)]
pub struct RecipeArgs {
    given: Vec<(&'static Field, Vec<String>)>,
}

impl RecipeArgs {
    /// `base` with everything replaced that was said; of several values the first.
    ///
    /// # Errors
    /// Usage: a value that cannot be.
    pub fn apply(&self, base: &Recipe) -> Result<Recipe> {
        let first = self.given.iter().map(|(field, values)| (field.key, values.first().map_or("", String::as_str)));
        change_typed(base, first)
    }

    /// Whether an option was given.
    pub fn has(&self, key: &str) -> bool {
        self.given.iter().any(|(field, _)| field.key == key)
    }

    /// Every combination of values where several were given, with a name for each; else nothing.
    ///
    /// # Errors
    /// Usage: a value that cannot be, or is given twice.
    pub fn sweep(&self, recipe: &Recipe) -> Result<Vec<(String, Recipe)>> {
        let several: Vec<_> = self.given.iter().filter(|(_, values)| values.len() > 1).collect();
        if several.is_empty() {
            return Ok(Vec::new());
        }
        let mut all: Vec<(Vec<String>, Changes)> = vec![Default::default()];
        for (field, values) in several {
            let mut longer = Vec::new();
            for (name, changes) in &all {
                for value in values {
                    let value = field.parse(value)?;
                    let mut name = name.clone();
                    name.push(format!("{}{value}", field.option));
                    longer.push((name, [&changes[..], &[(*field, value)]].concat()));
                }
            }
            all = longer;
        }
        let mut recipes: Vec<(String, Recipe)> = Vec::new();
        for (name, changes) in all {
            let name = name.join("-");
            if recipes.iter().any(|(other, _)| *other == name) {
                return Err(Error::usage(format!("{name} is given twice")));
            }
            recipes.push((name, change(recipe, changes)?));
        }
        Ok(recipes)
    }
}

impl Args for RecipeArgs {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| command.arg(option(field)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RecipeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let given = |field: &'static Field| {
            let values: Vec<String> = matches.get_many::<String>(field.key)?.cloned().collect();
            Some((field, values))
        };
        Ok(Self { given: FIELDS.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn option(field: &'static Field) -> Arg {
    let arg = Arg::new(field.key)
        .long(field.option)
        .value_name(field.value_name)
        .help(help(field))
        .allow_negative_numbers(true)
        .help_heading(match field.group {
            Group::Data => "Data",
            Group::Network => "Network",
            Group::Optimization => "Optimization",
            Group::Device => "Device",
        });
    match field.kind {
        // The option alone turns it on.
        FieldKind::Switch => arg.num_args(0..=1).default_missing_value("on"),
        _ if field.sweeps => arg.value_delimiter(',').num_args(1),
        _ => arg.num_args(1),
    }
}

fn help(field: &Field) -> String {
    let mut text = field.help.to_string();
    if let Some(first) = text.get(..1) {
        text.replace_range(..1, &first.to_uppercase());
    }
    let choices = match &field.kind {
        FieldKind::Choice(names) => format!(": {}", names().join(", ")),
        _ => String::new(),
    };
    let several = if field.sweeps { "; several with commas between make a run for each" } else { "" };
    let only = match &field.applies {
        Applies::When(key, values) if *key != "network.name" => format!(" (for {})", values().join(", ")),
        _ => String::new(),
    };
    format!("{text}{choices}{only}{several}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{DEFAULT_PRESET, PRESETS};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RecipeArgs,
    }

    fn args(words: &[&str]) -> RecipeArgs {
        Line::try_parse_from(std::iter::once(&"train").chain(words)).unwrap().args
    }

    #[test]
    fn the_command_of_a_recipe_gives_the_recipe() {
        let own = "conv 8, norm, relu, residual [conv 8, relu], flatten, linear classes".parse().unwrap();
        let own = Recipe { network: own, ..Recipe::preset(DEFAULT_PRESET).unwrap() };
        let presets = PRESETS.iter().map(|preset| preset.recipe());
        for recipe in presets.chain([own]).map(|recipe| Recipe { seed: 7, patience: Some(3), ..recipe }) {
            let command = recipe.command(None);
            let words: Vec<String> = command
                .split(" --")
                .skip(1)
                .flat_map(|option| {
                    let (name, value) = option.split_once(' ').unwrap();
                    [format!("--{name}"), value.trim_matches('\'').to_string()]
                })
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(args(&words).apply(&Recipe::preset(DEFAULT_PRESET).unwrap()).unwrap(), recipe, "{command}");
        }
    }

    #[test]
    fn several_values_make_every_combination() {
        let base = Recipe::preset(DEFAULT_PRESET).unwrap();
        let sweep = args(&["--lr", "0.1,0.03", "--seed", "1,2", "--epochs", "3"]);
        let recipes = sweep.sweep(&sweep.apply(&base).unwrap()).unwrap();
        let names: Vec<&str> = recipes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lr0.1-seed1", "lr0.1-seed2", "lr0.03-seed1", "lr0.03-seed2"]);
        assert_eq!((recipes[3].1.learning_rate, recipes[3].1.seed, recipes[3].1.epochs), (0.03, 2, 3.0));
        assert!(args(&["--seed", "1"]).sweep(&base).unwrap().is_empty());
        assert!(args(&["--seed", "1,1"]).sweep(&base).unwrap_err().to_string().contains("given twice"));
    }

    #[test]
    fn a_switch_takes_its_value() {
        let base = Recipe::preset("cifar10-resnet9").unwrap();
        assert_eq!(args(&["--nesterov", "off"]).apply(&base).unwrap().to_value()["optimizer"]["nesterov"], false);
        assert!(args(&["--batch-norm", "off"]).apply(&base).unwrap().short_name().contains("no-bn"));
    }
}

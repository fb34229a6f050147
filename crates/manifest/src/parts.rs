//! The parts of what is deployed, wherever the types of wadm keep them.

use wadm_types::{
    Component, ConfigProperty, LinkProperty, Properties, SpreadScalerProperty, Trait, TraitProperty,
};

/// What the types of wadm do not say of themselves.
pub trait Parts {
    /// Whether it is a capability, and no component.
    fn is_provider(&self) -> bool;
    fn image(&self) -> Option<&str>;
    fn image_mut(&mut self) -> Option<&mut String>;
    /// Whether it is given secrets.
    fn has_secrets(&self) -> bool;
    /// Its own configurations.
    fn own_configs(&self) -> &[ConfigProperty];
    fn own_configs_mut(&mut self) -> &mut Vec<ConfigProperty>;
    /// Its own configurations, and those of its links.
    fn configs(&self) -> impl Iterator<Item = &ConfigProperty>;
    fn configs_mut(&mut self) -> impl Iterator<Item = &mut ConfigProperty>;
    fn links(&self) -> impl Iterator<Item = &LinkProperty>;
    /// What says how many there are of it, and where; with its type.
    fn scalers_mut(&mut self) -> impl Iterator<Item = (&mut String, &mut SpreadScalerProperty)>;
    fn traits_mut(&mut self) -> &mut Vec<Trait>;
}

impl Parts for Component {
    fn is_provider(&self) -> bool {
        matches!(self.properties, Properties::Capability { .. })
    }

    fn image(&self) -> Option<&str> {
        match &self.properties {
            Properties::Component { properties } => properties.image.as_deref(),
            Properties::Capability { properties } => properties.image.as_deref(),
        }
    }

    fn image_mut(&mut self) -> Option<&mut String> {
        match &mut self.properties {
            Properties::Component { properties } => properties.image.as_mut(),
            Properties::Capability { properties } => properties.image.as_mut(),
        }
    }

    fn has_secrets(&self) -> bool {
        match &self.properties {
            Properties::Component { properties } => !properties.secrets.is_empty(),
            Properties::Capability { properties } => !properties.secrets.is_empty(),
        }
    }

    fn own_configs(&self) -> &[ConfigProperty] {
        match &self.properties {
            Properties::Component { properties } => &properties.config,
            Properties::Capability { properties } => &properties.config,
        }
    }

    fn own_configs_mut(&mut self) -> &mut Vec<ConfigProperty> {
        own_configs_mut(&mut self.properties)
    }

    fn configs(&self) -> impl Iterator<Item = &ConfigProperty> {
        let of_links = self
            .links()
            .flat_map(|link| link.source.iter().flat_map(|source| &source.config).chain(&link.target.config));
        self.own_configs().iter().chain(of_links)
    }

    fn configs_mut(&mut self) -> impl Iterator<Item = &mut ConfigProperty> {
        let links = self.traits.iter_mut().flatten().filter_map(|of| match &mut of.properties {
            TraitProperty::Link(link) => Some(link),
            _ => None,
        });
        let of_links = links.flat_map(|link| {
            let source = link.source.iter_mut().flat_map(|source| &mut source.config);
            source.chain(&mut link.target.config)
        });
        own_configs_mut(&mut self.properties).iter_mut().chain(of_links)
    }

    fn links(&self) -> impl Iterator<Item = &LinkProperty> {
        self.traits.iter().flatten().filter_map(|of| match &of.properties {
            TraitProperty::Link(link) => Some(link),
            _ => None,
        })
    }

    fn scalers_mut(&mut self) -> impl Iterator<Item = (&mut String, &mut SpreadScalerProperty)> {
        self.traits.iter_mut().flatten().filter_map(|of| match &mut of.properties {
            TraitProperty::SpreadScaler(scaler) => Some((&mut of.trait_type, scaler)),
            _ => None,
        })
    }

    fn traits_mut(&mut self) -> &mut Vec<Trait> {
        self.traits.get_or_insert_default()
    }
}

fn own_configs_mut(properties: &mut Properties) -> &mut Vec<ConfigProperty> {
    match properties {
        Properties::Component { properties } => &mut properties.config,
        Properties::Capability { properties } => &mut properties.config,
    }
}
